// One launch of a kernel on the current device.
#pragma once

#include <cuda_runtime_api.h>

#include "plan.h"
#include "splat_cuda.h"

namespace gsdd::cuda {

inline void tell(int* cuda_error, cudaError_t error) {
  if (cuda_error != nullptr) *cuda_error = static_cast<int>(error);
}

// A launch that fails leaves no error behind for the next caller to find.
template <typename Args>
Status start(void (*kernel)(Args), const Launch& launch, Args* args, void* stream, int* cuda_error) {
  if (launch.blocks > kMaxBlocks) return Status::kTooLarge;
  void* values[] = {args};
  const cudaError_t error =
      cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(static_cast<unsigned>(launch.blocks)),
                       dim3(static_cast<unsigned>(launch.threads)), values, static_cast<size_t>(launch.shared_bytes),
                       static_cast<cudaStream_t>(stream));
  if (error == cudaSuccess) return Status::kOk;
  cudaGetLastError();
  tell(cuda_error, error);
  return Status::kLaunchFailed;
}

}  // namespace gsdd::cuda
