// Devices and errors of the CUDA runtime that the kernels are linked with.
#include <cuda_runtime_api.h>

#include "splat_cuda.h"

namespace gsdd::cuda {

const char* error_text(int cuda_error) { return cudaGetErrorString(static_cast<cudaError_t>(cuda_error)); }

int use_device(int device, int* previous) {
  *previous = device;
  cudaError_t error = cudaGetDevice(previous);
  if (error == cudaSuccess && *previous != device) error = cudaSetDevice(device);
  if (error != cudaSuccess) cudaGetLastError();
  return static_cast<int>(error);
}

const char* architectures() { return GSDD_CUDA_ARCHITECTURES; }

}  // namespace gsdd::cuda
