// The CPU kernel behind the names of the CUDA launchers, for a plugin whose tensors lie in host memory.
#include "splat_cuda.h"

namespace gsdd {
namespace {

ParallelFor serial() {
  ParallelFor parallel;
  parallel.run = [](void*, int64_t count, int64_t, ParallelFor::Body body, void* context) { body(context, 0, count); };
  return parallel;
}

}  // namespace

Status splat_cuda(const SplatParams& params, void*, int*) { return splat_cpu(params, serial()); }

Status splat_backward_cuda(const SplatGradParams& params, void*, int*) { return splat_backward_cpu(params, serial()); }

// The CPU kernel launches nothing that could fail.
const char* cuda::error_text(int) { return "no CUDA"; }

}  // namespace gsdd
