// How a launch is cut into blocks: the same on every processor, so that the host tests run the device's own plan.
#pragma once

#include <cstdint>

#include "splat_backward.h"
#include "splat_forward.h"

namespace gsdd::cuda {

// Blocks of one launch.
inline constexpr int64_t kMaxBlocks = 0x7fffffff;

// Below so many Gaussians in images of so many pixels, a block shares each Gaussian: one warp each would leave most
// of a large GPU idle. Estimated from the warps that an H100 holds (132 x 64); to be measured by
// benchmarks/cuda_bench.py.
inline constexpr int64_t kShareBelowGaussians = 4096;
inline constexpr int64_t kShareFromPixels = 64 * 64;

struct Launch {
  int64_t blocks;
  int threads;
  int shared_bytes;
};

// Gaussian lists of the image's tiles of 32 x 32 pixels, rows first, over the whole batch.
struct TileLists {
  const int32_t* offsets = nullptr;  // [batch * tiles]: where each tile's ids begin
  const int32_t* ids = nullptr;      // [id_count]: Gaussians, counted over the batch
  int64_t id_count = 0;
};

inline constexpr int kListTile = 32;

inline bool aligned(const void* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) == 0;
}

inline int divide_up(int a, int b) { return (a + b - 1) / b; }

template <typename Params>
Source source_of(const Params& p) {
  const Grid grid = {static_cast<float>(p.height), static_cast<float>(p.width),
                     static_cast<float>(p.width) / static_cast<float>(p.native_width),
                     static_cast<float>(p.height) / static_cast<float>(p.native_height)};
  return {p.gaussians, p.gaussian_dtype, p.channels, grid};
}

inline Launch plan_forward(const SplatParams& p, const TileLists& lists, ForwardArgs* args) {
  *args = {};
  args->source = source_of(p);
  args->gaussians = p.batch * p.count;
  args->count = static_cast<int32_t>(p.count);
  args->height = p.height, args->width = p.width, args->supersample = p.supersample;
  const bool listed = lists.offsets != nullptr;
  args->patches_x = listed || p.width > kPatchWidth ? 2 : 1;
  const int most = kMaxForwardThreads / kWarp / args->patches_x, rows = divide_up(p.height, kPatchHeight);
  const int patches_y = listed || rows > most ? most : rows;
  args->patches = args->patches_x * patches_y;
  args->tiles_x = divide_up(p.width, args->patches_x * kPatchWidth);
  args->tiles = args->tiles_x * divide_up(p.height, patches_y * kPatchHeight);
  const float samples = static_cast<float>(p.supersample * p.supersample);
  args->samples = samples;
  args->smooth_deviation = std::sqrt(static_cast<float>(kPixelVariance) * (2.0f - 1.0f / samples));
  args->chunk = static_cast<int32_t>(p.count < kMaxChunk ? (p.count + kWarp - 1) / kWarp * kWarp : kMaxChunk);
  if (args->chunk == 0) args->chunk = kWarp;
  args->offsets = lists.offsets, args->ids = lists.ids, args->id_count = static_cast<int32_t>(lists.id_count);
  args->images = p.images, args->image_dtype = p.image_dtype, args->channels_last = p.channels_last;
  args->wide_stores = p.width % kRun == 0 && aligned(p.images, kRun * size_of(p.image_dtype));
  args->mean = p.mean, args->inverse_std = p.inverse_std;
  args->blocks = p.batch * args->tiles;
  return {args->blocks, args->patches * kWarp,
          args->chunk * kRecordVectors * static_cast<int>(sizeof(simt::Float4)) + kCountBytes};
}

inline Launch plan_backward(const SplatGradParams& p, BackwardArgs* args) {
  *args = {};
  args->source = source_of(p);
  args->gaussians = p.batch * p.count;
  args->count = p.count;
  args->height = p.height, args->width = p.width, args->supersample = p.supersample;
  constexpr int warps = kBackwardThreads / kWarp;
  const bool share =
      args->gaussians < kShareBelowGaussians && int64_t{p.height} * p.width >= kShareFromPixels && p.height > kWarp;
  args->sharing = share ? warps : 1;
  args->wide_loads = p.width % kRun == 0 && aligned(p.grad_images, kRun * size_of(p.grad_dtype));
  args->grad_images = p.grad_images, args->grad_dtype = p.grad_dtype, args->channels_last = p.channels_last;
  args->scale = p.scale;
  args->grad_gaussians = p.grad_gaussians;
  const int64_t blocks = share ? args->gaussians : (args->gaussians + warps - 1) / warps;
  return {blocks, kBackwardThreads, warps * kMaxSums * static_cast<int>(sizeof(float))};
}

// Calls `run` with the two template arguments of the kernel that serves this number of colours and samples.
template <int kColors, int kSamples>
struct Variant {
  static constexpr int colors = kColors, samples = kSamples;
};

template <typename Run>
auto dispatch(int channels, int supersample, Run&& run) {
#if defined(GSDD_COUNTED_VARIANT)
  // The counting of instructions compiles the commonest alone.
  (void)channels, (void)supersample;
  return run(Variant<3, 2>{});
#else
  const bool two = supersample == 2;
  if (channels == 3) return two ? run(Variant<3, 2>{}) : run(Variant<3, 0>{});
  if (channels == 1) return two ? run(Variant<1, 2>{}) : run(Variant<1, 0>{});
  return two ? run(Variant<4, 2>{}) : run(Variant<4, 0>{});
#endif
}

}  // namespace gsdd::cuda
