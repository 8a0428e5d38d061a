// The CUDA provider: one kernel on the provider's stream, never synchronised, so that a CUDA graph can capture it.
#include "../splat/cuda/splat_cuda.h"
#include "launch.h"

namespace gsdd::ort {
namespace {

template <typename Params>
OrtStatus* launch(const char* op, Status (*kernel)(const Params&, void*, int*), const Call& call, const Params& params,
                  int device) {
  void* stream = nullptr;
  GSDD_RETURN_IF_ERROR(call.api.KernelContext_GetGPUComputeStream(call.context, &stream));
  // This library's CUDA runtime need not be the provider's: what device is current there says nothing here.
  int previous = 0, ignored = 0;
  int cuda_error = cuda::use_device(device, &previous);
  Status status = Status::kLaunchFailed;
  if (cuda_error == 0) {
    status = kernel(params, stream, &cuda_error);
    const int restored = previous == device ? 0 : cuda::use_device(previous, &ignored);
    if (status == Status::kOk && restored != 0) {
      status = Status::kLaunchFailed;
      cuda_error = restored;
    }
  }
  if (status != Status::kLaunchFailed) return report(call.api, op, status);
  return error(call.api, ORT_EP_FAIL, "gsdd::%s: CUDA device %d: %s", op, device, cuda::error_text(cuda_error));
}

OrtStatus* forward(const Call& call, const SplatParams& params, int device) {
  return launch("GaussianSplat", splat_cuda, call, params, device);
}

OrtStatus* backward(const Call& call, const SplatGradParams& params, int device) {
  return launch("GaussianSplatGrad", splat_backward_cuda, call, params, device);
}

}  // namespace

const Launcher kCudaLauncher{"CUDAExecutionProvider", forward, backward};

}  // namespace gsdd::ort
