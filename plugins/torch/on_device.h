// What every op on CUDA tensors begins and ends with: the tensor's device made current, its stream, the launch's
// result.
#pragma once

#include <torch/csrc/stable/accelerator.h>

#include "../splat/cuda/splat_cuda.h"
#include "door.h"

namespace gsdd::torch_door {

// The current stream of torch on a CUDA device. Raises where this torch has no CUDA.
void* current_stream(int32_t device);

// The tensor's device, current in torch's CUDA runtime and in the one that the kernels are linked with. Both see a
// thread's current context, so putting torch's device back, as the guard does, puts back the other too.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(const Tensor& tensor) : device_(checked_index(tensor)), guard_(device_) {
    int previous = 0;
    const int error = gsdd::cuda::use_device(device_, &previous);
    STD_TORCH_CHECK(error == 0, "gsdd::splat: CUDA device ", device_, ": ", gsdd::cuda::error_text(error));
  }

  void* stream() const { return current_stream(device_); }

 private:
  static int32_t checked_index(const Tensor& tensor) {
    STD_TORCH_CHECK(tensor.is_cuda(), "gsdd::splat: gaussians must be on the CUDA device, like the other tensors");
    return tensor.get_device_index();
  }

  int32_t device_;
  torch::stable::accelerator::DeviceGuard guard_;
};

inline void raise_unless_launched(gsdd::Status status, int cuda_error) {
  STD_TORCH_CHECK(status != gsdd::Status::kLaunchFailed,
                  "gsdd::splat: CUDA refused the launch: ", gsdd::cuda::error_text(cuda_error), " (compiled for ",
                  gsdd::cuda::architectures(), ")");
  raise_unless_ok(status);
}

}  // namespace gsdd::torch_door
