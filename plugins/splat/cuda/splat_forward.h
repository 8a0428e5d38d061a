// The forward kernel: one block draws one tile of one image, and writes it once, finished.
//
// 1. The block's threads prepare Gaussians in chunks, one each, in shared memory: the ellipse relative to the tile. One
//    that misses the tile is marked, so that no warp tests it.
// 2. Each warp owns a patch of 16 x 8 pixels. Its lanes test 32 ellipses against the patch at once; ballots leave
//    those that touch it, apart from those that cover it so smoothly that one evaluation a pixel serves all samples.
// 3. Each thread adds the survivors up over its 4 pixels of a row, in registers.
// No sort, no list of unknown length, no atomics: the order of the sums is that of the Gaussians.
#pragma once

#include "prepare.h"
#include "sums.h"

namespace gsdd::cuda {

inline constexpr int kPatchWidth = 16, kPatchHeight = 8;
inline constexpr int kMaxChunk = 256;
inline constexpr int kMaxForwardThreads = 256;

struct ForwardArgs {
  Source source;
  int64_t gaussians;  // in the batch
  int32_t count;      // per image
  int32_t height, width, supersample;
  int64_t blocks;
  int32_t tiles_x, tiles;      // per image
  int32_t patches_x, patches;  // per tile; a warp each
  int32_t chunk;               // Gaussians prepared at once
  float smooth_deviation;      // square root of the prefilter's variance plus that of the samples in a pixel
  float samples;               // supersample squared
  // Tile lists, or null: Gaussian ids of tile t are ids[offsets[t]] .. ids[offsets[t + 1] - 1], the last tile's end
  // at `id_count`; t counts over the batch.
  const int32_t* offsets;
  const int32_t* ids;
  int32_t id_count;
  void* images;
  DType image_dtype;
  bool channels_last;
  bool wide_stores;  // four pixels of a row are always inside the image together, and aligned
  const float* mean;
  const float* inverse_std;
};

// The samples of a block's tile, from its corner. Made anew for each Gaussian: kept, it would take registers.
GSDD_DEVICE Box tile_of(const ForwardArgs& args, float tile_x, float tile_y) {
  const float rim = 0.5f / static_cast<float>(args.supersample);
  const float width = static_cast<float>(args.patches_x * kPatchWidth);
  const float height = static_cast<float>(args.patches / args.patches_x * kPatchHeight);
  return {rim, smaller(width, args.source.grid.width - tile_x) - rim, rim,
          smaller(height, args.source.grid.height - tile_y) - rim};
}

// Writes one Gaussian's record (sums.h).
template <int kColors>
GSDD_DEVICE void prepare(const ForwardArgs& args, int64_t gaussian, float tile_x, float tile_y, simt::Float4* record) {
  Parameters<kColors> p;
  if (gaussian < 0 || gaussian >= args.gaussians || !read_parameters(args.source, gaussian, &p)) {
    record[0] = {-INFINITY, 0.0f, 0.0f, 0.0f};
    return;
  }
  const Grid& grid = args.source.grid;
  const Whitening m = whitening(p.shape, grid, kPixelDeviation);
  const Ellipse e = place(m, p.shape, p.opacity, grid, tile_x, tile_y);
  record[0] = {e.bits, e.m11, e.m12, e.u0};
  record[1] = {e.m22, e.v0, simt::exp2_fast(-0.5f * e.m11 * e.m11), e.center_x};
  const float weight = 1.0f / args.samples;
  record[2] = {weight * p.color[0], kColors > 1 ? weight * p.color[kColors > 1 ? 1 : 0] : 0.0f,
               kColors > 2 ? weight * p.color[kColors > 2 ? 2 : 0] : 0.0f,
               kColors > 3 ? weight * p.color[kColors > 3 ? 3 : 0] : 0.0f};
  const bool smooth = m.m11 * m.m11 + m.m12 * m.m12 + m.m22 * m.m22 <= kSmoothTrace;
  Ellipse s = e;
  float ratio = -1.0f;
  if (smooth) {
    const Whitening w = whitening(p.shape, grid, args.smooth_deviation);
    s = place(w, p.shape, p.opacity, grid, tile_x, tile_y);
    // Widened, it is lower by the root of the determinants' ratio; and it stands for all samples of a pixel.
    s.bits += log2f(determinant_ratio(m, w) * args.samples);
    ratio = simt::exp2_fast(-2.0f * s.m11 * s.m11);
  }
  record[3] = {s.bits, s.m11, s.m12, s.u0};
  record[4] = {s.m22, s.v0, ratio, e.center_y};
}

GSDD_DEVICE Ellipse ellipse_of(const simt::Float4* record) {
  const simt::Float4 a = record[0], b = record[1];
  return {a.x, a.y, a.z, a.w, b.x, b.y, b.w, record[4].w};
}

// Marks a record that misses the block's tile, so that each warp passes it by at its first look. Not done in prepare,
// where it would spill.
GSDD_DEVICE void mark_outside(const ForwardArgs& args, float tile_x, float tile_y, simt::Float4* record) {
  if (cover(ellipse_of(record), tile_of(args, tile_x, tile_y)) == kOutside) record[0].x = -INFINITY;
}

GSDD_DEVICE void store_one(const ForwardArgs& args, int64_t index, float value) {
  if (args.image_dtype == DType::kFloat32) {
    static_cast<float*>(args.images)[index] = value;
  } else {
    static_cast<uint16_t*>(args.images)[index] =
        args.image_dtype == DType::kBFloat16 ? simt::to_bfloat16(value) : simt::to_float16(value);
  }
}

// Four neighbouring numbers at an index that is a multiple of four.
GSDD_DEVICE void store_four(const ForwardArgs& args, int64_t index, float a, float b, float c, float d) {
  if (args.image_dtype == DType::kFloat32) {
    simt::store4(static_cast<float*>(args.images) + index, {a, b, c, d});
  } else if (args.image_dtype == DType::kBFloat16) {
    simt::store4(static_cast<uint16_t*>(args.images) + index, simt::to_bfloat16(a), simt::to_bfloat16(b),
                 simt::to_bfloat16(c), simt::to_bfloat16(d));
  } else {
    simt::store4(static_cast<uint16_t*>(args.images) + index, simt::to_float16(a), simt::to_float16(b),
                 simt::to_float16(c), simt::to_float16(d));
  }
}

template <int kColors>
GSDD_DEVICE void finish(const ForwardArgs& args, int64_t image, int x, int y, float (*sums)[kColors]) {
  const int channels = kColors < 4 ? kColors : args.source.channels;
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
    if (kColors == 4 && c >= channels) break;
    const float mean = args.mean != nullptr ? simt::load(args.mean + c) : 0.0f;
    const float scale = args.inverse_std != nullptr ? simt::load(args.inverse_std + c) : 1.0f;
#pragma unroll
    for (int k = 0; k < kRun; ++k) sums[k][c] = (sums[k][c] - mean) * scale;
  }
  const int64_t row = image * args.height + y;
  if (args.channels_last) {
    const int64_t first = (row * args.width + x) * channels;
    if (args.wide_stores && kColors < 4) {
      float flat[kRun * kColors];
#pragma unroll
      for (int i = 0; i < kRun * kColors; ++i) flat[i] = sums[i / kColors][i % kColors];
#pragma unroll
      for (int i = 0; i < kRun * kColors; i += 4) {
        store_four(args, first + i, flat[i], flat[i + 1], flat[i + 2], flat[i + 3]);
      }
      return;
    }
#pragma unroll
    for (int k = 0; k < kRun; ++k) {
#pragma unroll
      for (int c = 0; c < kColors; ++c) {
        if (x + k < args.width && c < channels) store_one(args, first + k * channels + c, sums[k][c]);
      }
    }
    return;
  }
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
    if (kColors == 4 && c >= channels) break;
    const int64_t first = ((image * channels + c) * args.height + y) * args.width + x;
    if (args.wide_stores) {
      store_four(args, first, sums[0][c], sums[1][c], sums[2][c], sums[3][c]);
    } else {
#pragma unroll
      for (int k = 0; k < kRun; ++k) {
        if (x + k < args.width) store_one(args, first + k, sums[k][c]);
      }
    }
  }
}

GSDD_DEVICE int64_t image_of(const ForwardArgs& args, unsigned block) {
  return block / static_cast<unsigned>(args.tiles);
}

// The Gaussians that a block draws: all of its image, or its tile's list.
struct Work {
  int64_t first;
  int count;
};

// A tile list's number, kept inside memory that is ours whatever it says.
GSDD_DEVICE int within(int value, int size) { return value < 0 ? 0 : smaller(value, size); }

GSDD_DEVICE Work work_of(const ForwardArgs& args, unsigned block) {
  Work work;
  work.first = image_of(args, block) * args.count;
  work.count = args.count;
  if (args.offsets != nullptr) {
    const bool last = block + 1u == args.blocks;
    const int begin = within(args.offsets[block], args.id_count);
    const int end = within(last ? args.id_count : args.offsets[block + 1u], args.id_count);
    work.first = begin;
    work.count = end - begin;
  }
  return work;
}

// Where a thread works: its warp's patch and its own first pixel, from the tile's corner, which is given in pixels of
// the image.
struct Place {
  int tile_x, tile_y;
  float x, y;
  Box patch;
};

GSDD_DEVICE Place place_of(const ForwardArgs& args, unsigned block, int lane, int warp) {
  const int tile = static_cast<int>(block % static_cast<unsigned>(args.tiles));
  const int patch_x = (warp % args.patches_x) * kPatchWidth, patch_y = (warp / args.patches_x) * kPatchHeight;
  const float rim = 0.5f / static_cast<float>(args.supersample);
  Place p;
  p.tile_x = (tile % args.tiles_x) * args.patches_x * kPatchWidth;
  p.tile_y = (tile / args.tiles_x) * (args.patches / args.patches_x) * kPatchHeight;
  p.x = static_cast<float>(patch_x + kRun * (lane % (kPatchWidth / kRun)));
  p.y = static_cast<float>(patch_y + lane / (kPatchWidth / kRun));
  p.patch = {static_cast<float>(patch_x) + rim,
             static_cast<float>(smaller(patch_x + kPatchWidth, args.width - p.tile_x)) - rim,
             static_cast<float>(patch_y) + rim,
             static_cast<float>(smaller(patch_y + kPatchHeight, args.height - p.tile_y)) - rim};
  return p;
}

// kColors: 1, 3, or 4 for any number up to it. kSamples: samples per pixel and axis, or 0 for any number.
template <int kColors, int kSamples>
GSDD_DEVICE void splat_tile(const ForwardArgs& args) {
  simt::Float4* records = simt::shared_memory();
  const unsigned block = simt::block_index();
  const int thread = static_cast<int>(simt::thread_index()), threads = static_cast<int>(simt::thread_count());
  const int lane = thread % kWarp;
  const Work work = work_of(args, block);
  const Place at = place_of(args, block, lane, thread / kWarp);
  // A patch that lies outside the image has nothing to add up.
  const bool inside = at.patch.x0 <= at.patch.x1 && at.patch.y0 <= at.patch.y1;

  float sums[kRun][kColors] = {};
  for (int start = 0; start < work.count; start += args.chunk) {
    const int size = smaller(work.count - start, args.chunk);
    if (start > 0) simt::sync_block();
#pragma unroll 1
    for (int i = thread; i < size; i += threads) {
      const int64_t place = work.first + start + i;
      simt::Float4* record = records + i * kRecordVectors;
      prepare<kColors>(args, args.ids != nullptr ? args.ids[place] : place, static_cast<float>(at.tile_x),
                       static_cast<float>(at.tile_y), record);
      // The only tile of an image, or one with a list, has few to miss.
      if (args.tiles > 1 && args.offsets == nullptr) {
        mark_outside(args, static_cast<float>(at.tile_x), static_cast<float>(at.tile_y), record);
      }
    }
    simt::sync_block();
#pragma unroll 1
    for (int base = 0; inside && base < size; base += kWarp) {
      Cover meets = kOutside;
      bool smooth = false, extreme = false;
      if (base + lane < size) {
        const simt::Float4* mine = records + (base + lane) * kRecordVectors;
        const Ellipse e = ellipse_of(mine);
        meets = cover(e, at.patch);
        smooth = meets == kSmoothly && mine[4].z >= 0.0f;
        extreme = kSamples == 0 || e.bits > kMaxRunBits;
      }
      unsigned smoothly = simt::ballot(smooth);
      unsigned by_runs = simt::ballot(meets != kOutside && !smooth && !extreme);
      unsigned by_samples = simt::ballot(meets != kOutside && !smooth && extreme);
      for (; smoothly != 0; smoothly &= smoothly - 1) {
        add_smoothly<kColors>(records + (base + simt::lowest_bit(smoothly)) * kRecordVectors, at.x, at.y, sums);
      }
      if constexpr (kSamples == 2) {
        for (; by_runs != 0; by_runs &= by_runs - 1) {
          add_by_runs<kColors>(records + (base + simt::lowest_bit(by_runs)) * kRecordVectors, at.x, at.y, sums);
        }
      }
      for (; by_samples != 0; by_samples &= by_samples - 1) {
        add_by_samples<kColors>(records + (base + simt::lowest_bit(by_samples)) * kRecordVectors,
                                kSamples == 0 ? args.supersample : kSamples, at.x, at.y, sums);
      }
    }
  }
  const int x = at.tile_x + static_cast<int>(at.x), y = at.tile_y + static_cast<int>(at.y);
  if (x < args.width && y < args.height) finish<kColors>(args, image_of(args, simt::block_index()), x, y, sums);
}

}  // namespace gsdd::cuda
