// The forward kernel's entry points and launchers.
#include "launch.h"

namespace gsdd {
namespace cuda {
namespace {

// Four blocks of 256 threads on a multiprocessor leave each thread 64 registers: enough for three colours on every GPU.
// With more colours, three blocks leave 80.
template <int kColors, int kSamples>
__global__ void __launch_bounds__(kMaxForwardThreads, kColors == 4 ? 3 : 4)
    splat_forward(const __grid_constant__ ForwardArgs args) {
  splat_tile<kColors, kSamples>(args);
}

Status launch_forward(const SplatParams& params, const TileLists& lists, void* stream, int* cuda_error) {
  tell(cuda_error, cudaSuccess);
  if (const Status status = check(params); status != Status::kOk) return status;
  if (params.count > INT32_MAX) return Status::kTooLarge;
  if (params.batch == 0) return Status::kOk;
  ForwardArgs args;
  const Launch launch = plan_forward(params, lists, &args);
  return dispatch(params.channels, params.supersample, [&](auto variant) {
    using V = decltype(variant);
    return start(splat_forward<V::colors, V::samples>, launch, &args, stream, cuda_error);
  });
}

}  // namespace
}  // namespace cuda

Status splat_cuda(const SplatParams& params, void* stream, int* cuda_error) {
  return cuda::launch_forward(params, {}, stream, cuda_error);
}

Status splat_tiles_cuda(const SplatParams& params, const SplatTiles& tiles, void* stream, int* cuda_error) {
  cuda::tell(cuda_error, cudaSuccess);
  if (tiles.id_count < 0 || tiles.id_count > INT32_MAX) return Status::kTooLarge;
  if (params.batch > 0 && (tiles.offsets == nullptr || (tiles.ids == nullptr && tiles.id_count > 0))) {
    return Status::kNullPointer;
  }
  return cuda::launch_forward(params, {tiles.offsets, tiles.ids, tiles.id_count}, stream, cuda_error);
}

}  // namespace gsdd
