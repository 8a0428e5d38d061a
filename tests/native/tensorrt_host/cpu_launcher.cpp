// The CPU kernel behind the names of the CUDA launchers, for a plugin whose tensors lie in host memory. Where the
// environment has GSDD_HOST_LAUNCH_FAILS, a launch fails with that error instead, as a device's may.
#include <cstdio>
#include <cstdlib>

#include "splat_cuda.h"

namespace gsdd {
namespace {

ParallelFor serial() {
  ParallelFor parallel;
  parallel.run = [](void*, int64_t count, int64_t, ParallelFor::Body body, void* context) { body(context, 0, count); };
  return parallel;
}

bool launch_fails(int* cuda_error) {
  const char* const error = std::getenv("GSDD_HOST_LAUNCH_FAILS");
  if (error != nullptr) *cuda_error = std::atoi(error);
  return error != nullptr;
}

}  // namespace

Status splat_cuda(const SplatParams& params, void*, int* cuda_error) {
  return launch_fails(cuda_error) ? Status::kLaunchFailed : splat_cpu(params, serial());
}

Status splat_backward_cuda(const SplatGradParams& params, void*, int* cuda_error) {
  return launch_fails(cuda_error) ? Status::kLaunchFailed : splat_backward_cpu(params, serial());
}

const char* cuda::error_text(int cuda_error) {
  static char text[32];
  std::snprintf(text, sizeof text, "error %d", cuda_error);
  return text;
}

}  // namespace gsdd
