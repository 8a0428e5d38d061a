// The backward kernel's entry points and launcher.
#include "launch.h"

namespace gsdd {
namespace cuda {
namespace {

template <int kColors, int kSamples>
__global__ void __launch_bounds__(kBackwardThreads, kColors == 1   ? 6
                                                    : kColors == 3 ? 5
                                                                   : 4)
    splat_backward(const __grid_constant__ BackwardArgs args) {
  gather_gradient<kColors, kSamples>(args);
}

}  // namespace
}  // namespace cuda

Status splat_backward_cuda(const SplatGradParams& params, void* stream, int* cuda_error) {
  cuda::tell(cuda_error, cudaSuccess);
  if (const Status status = check(params); status != Status::kOk) return status;
  if (params.batch == 0 || params.count == 0) return Status::kOk;
  cuda::BackwardArgs args;
  const cuda::Launch launch = cuda::plan_backward(params, &args);
  return cuda::dispatch(params.channels, params.supersample, [&](auto variant) {
    using V = decltype(variant);
    return cuda::start(cuda::splat_backward<V::colors, V::samples>, launch, &args, stream, cuda_error);
  });
}

}  // namespace gsdd
