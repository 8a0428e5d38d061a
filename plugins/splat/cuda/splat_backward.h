// The backward kernel: a gather. An additive image's gradient for one Gaussian depends on its own parameters and the
// incoming image gradient alone, so a warp (or a block, where Gaussians are few and images large) walks over its own
// footprint, sums in registers, and reduces by shuffles in a fixed order: no atomics, nothing saved, the same bits
// every run.
//
// The footprint is walked row by row of its exact spans: 32 rows at a time, a lane finds the span of one row in cells
// of four pixels; a prefix sum lines the cells of all 32 rows up, and the lanes take them in order. So nearly every
// lane has a cell inside the ellipse, however thin or tilted it is.
#pragma once

#include "image_gradient.h"
#include "row_sums.h"

namespace gsdd::cuda {

template <int kColors>
struct GatherSums {
  Moments moments;
  float color[kColors];
};

// The cell of pixels (x .. x + 3, y); origin_x and origin_y are those of the Ellipse.
template <int kColors, int kSamples>
GSDD_DEVICE void gather_cell(const BackwardArgs& args, const Ellipse& e, const float* color, float ratio, int64_t image,
                             int x, int y, int origin_x, int origin_y, GatherSums<kColors>* sums) {
  float grad[kColors][kRun], through_color[kRun] = {}, drawn[kRun] = {};
  load_gradients<kColors>(args, image, x, y, grad);
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
#pragma unroll
    for (int k = 0; k < kRun; ++k) through_color[k] = fmaf(color[c], grad[c][k], through_color[k]);
  }
  const int supersample = kSamples == 0 ? args.supersample : kSamples;
  const bool by_runs = kSamples == 2 && e.bits <= kMaxRunBits, clips = e.bits > 0.0f;
  const float left = static_cast<float>(x - origin_x), top = static_cast<float>(y - origin_y);
  const float step = 1.0f / static_cast<float>(supersample);
#pragma unroll 1
  for (int t = 0; t < supersample; ++t) {
    const float sample_y = top + (static_cast<float>(t) + 0.5f) * step;
    const float v = fmaf(e.m22, sample_y, e.v0), bits = fmaf(-v, v, e.bits), row_u = fmaf(e.m12, sample_y, e.u0);
    RowSums row = {};
    if (by_runs && !clips) {
      gather_row_by_runs<false>(e, ratio, left, row_u, bits, through_color, drawn, &row);
    } else if (by_runs) {
      gather_clipped_row_by_runs(e, ratio, left, row_u, bits, through_color, drawn, &row);
    } else {
      gather_row_by_samples(e, supersample, left, row_u, bits, through_color, drawn, &row);
    }
    add_row(row, v, &sums->moments);
  }
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
#pragma unroll
    for (int k = 0; k < kRun; ++k) sums->color[c] = fmaf(drawn[k], grad[c][k], sums->color[c]);
  }
}

// Cells [first, first + count) of one pixel row.
struct CellRow {
  int first, count;
};

GSDD_DEVICE int clamp_to(float value, int low, int high) {
  // NaN gives low.
  return value > static_cast<float>(low) ? (value < static_cast<float>(high) ? static_cast<int>(value) : high) : low;
}

GSDD_DEVICE CellRow cells_of(const BackwardArgs& args, const Ellipse& e, int y, int origin_x, int origin_y) {
  const float step = 1.0f / static_cast<float>(args.supersample), top = static_cast<float>(y - origin_y);
  int begin = args.width, end = 0;
  for (int t = 0; t < args.supersample; ++t) {
    const Span s = span(e, top + (static_cast<float>(t) + 0.5f) * step);
    if (s.begin > s.end) continue;
    // Half a pixel more on both sides than the samples need: far spans are rounded.
    const float low = floorf(s.begin - 1.0f) + static_cast<float>(origin_x);
    const float high = ceilf(s.end + 1.0f) + static_cast<float>(origin_x);
    begin = smaller(begin, clamp_to(low, 0, args.width));
    const int stop = high < static_cast<float>(args.width) ? clamp_to(high, 0, args.width) : args.width;
    end = end > stop ? end : stop;
  }
  if (begin >= end) return {0, 0};
  return {begin / kRun, (end + kRun - 1) / kRun - begin / kRun};
}

// The first lane whose inclusive sum exceeds `position`; all lanes take part.
GSDD_DEVICE int lane_holding(int position, int inclusive) {
  int found = 0;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    if (simt::shuffle(inclusive, found + step - 1) <= position) found += step;
  }
  return found;
}

template <int kColors, int kSamples>
GSDD_DEVICE void gather(const BackwardArgs& args, const Ellipse& e, const float* color, int64_t image, int origin_x,
                        int origin_y, int share, GatherSums<kColors>* sums) {
  const int lane = static_cast<int>(simt::thread_index()) % kWarp;
  const float most = limit(e);
  if (!(most >= 0.0f)) return;
  const float ratio = simt::exp2_fast(-0.5f * e.m11 * e.m11);
  const float reach = sqrtf(most * 1.002f + kLimitMargin);
  const float low = (-reach - e.v0) / e.m22, high = (reach - e.v0) / e.m22;
  const int begin = clamp_to(floorf(low - 1.0f) + static_cast<float>(origin_y), 0, args.height);
  const float stop = ceilf(high + 1.0f) + static_cast<float>(origin_y);
  const int end = stop < static_cast<float>(args.height) ? clamp_to(stop, 0, args.height) : args.height;
  for (int first_row = begin + share * kWarp; first_row < end; first_row += args.sharing * kWarp) {
    const int y = first_row + lane;
    const CellRow mine = y < end ? cells_of(args, e, y, origin_x, origin_y) : CellRow{0, 0};
    int inclusive = mine.count;
#pragma unroll
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const int below = simt::shuffle_up(inclusive, distance);
      if (lane >= distance) inclusive += below;
    }
    const int total = simt::shuffle(inclusive, kWarp - 1);
    // Of a row's first cell, from where it comes among all of them.
    const int shift = mine.first - (inclusive - mine.count);
    for (int base = 0; base < total; base += kWarp) {
      const int position = base + lane;
      const int row = lane_holding(position, inclusive);
      const int cell = position + simt::shuffle(shift, row & (kWarp - 1));
      if (position < total) {
        gather_cell<kColors, kSamples>(args, e, color, ratio, image, kRun * cell, first_row + row, origin_x, origin_y,
                                       sums);
      }
    }
  }
}

GSDD_DEVICE float warp_sum(float value) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += simt::shuffle_xor(value, mask);
  return value;
}

// After it every lane of the first warp that shares the Gaussian has the sums of all.
template <int kColors>
GSDD_DEVICE void reduce(int sharing, GatherSums<kColors>* sums) {
  Moments& m = sums->moments;
  float* values[6] = {&m.one, &m.u, &m.v, &m.uu, &m.uv, &m.vv};
#pragma unroll
  for (int i = 0; i < 6; ++i) *values[i] = warp_sum(*values[i]);
#pragma unroll
  for (int c = 0; c < kColors; ++c) sums->color[c] = warp_sum(sums->color[c]);
  if (sharing == 1) return;
  float* shared = reinterpret_cast<float*>(simt::shared_memory());
  const int lane = static_cast<int>(simt::thread_index()) % kWarp,
            warp = static_cast<int>(simt::thread_index()) / kWarp;
  if (lane == 0) {
#pragma unroll
    for (int i = 0; i < 6; ++i) shared[warp * kMaxSums + i] = *values[i];
#pragma unroll
    for (int c = 0; c < kColors; ++c) shared[warp * kMaxSums + 6 + c] = sums->color[c];
  }
  simt::sync_block();
  for (int other = 1; other < sharing; ++other) {
#pragma unroll
    for (int i = 0; i < 6; ++i) *values[i] = (other == 1 ? shared[i] : *values[i]) + shared[other * kMaxSums + i];
#pragma unroll
    for (int c = 0; c < kColors; ++c) {
      sums->color[c] = (other == 1 ? shared[6 + c] : sums->color[c]) + shared[other * kMaxSums + 6 + c];
    }
  }
}

// The image pixel that offsets are taken from: next to the centre, or the nearest one in the image.
GSDD_DEVICE int origin(float center, int size) { return clamp_to(floorf(center), 0, size - 1); }

// kColors: 1, 3, or 4 for any number up to it. kSamples: samples per pixel and axis, or 0 for any number.
template <int kColors, int kSamples>
GSDD_DEVICE void gather_gradient(const BackwardArgs& args) {
  const int thread = static_cast<int>(simt::thread_index()), lane = thread % kWarp, warp = thread / kWarp;
  const int64_t block = simt::block_index();
  const int64_t gaussian = args.sharing == 1 ? block * (kBackwardThreads / kWarp) + warp : block;
  if (gaussian >= args.gaussians) return;  // the whole warp; a shared Gaussian's block is never cut
  const int share = args.sharing == 1 ? 0 : warp;
  Shape p;
  float color[kColors];
  const bool readable = read_shape(args.source, gaussian, &p);
  const bool finite = read_colors<kColors>(args.source, gaussian, color) && readable;
  const Grid& grid = args.source.grid;
  // The scale of the image's gradient is that of the colour, as the gradient of the shape sees it.
#pragma unroll
  for (int c = 0; c < kColors; ++c) color[c] *= scale_of(args, c);
  GatherSums<kColors> sums = {};
  Whitening m = {};
  if (finite) {
    m = whitening(p.numbers, grid, kPixelDeviation);
    const int origin_x = origin((p.numbers[0] + 1.0f) * 0.5f * grid.width, args.width);
    const int origin_y = origin((p.numbers[1] + 1.0f) * 0.5f * grid.height, args.height);
    const Ellipse e =
        place(m, p.numbers, bits_of(p.opacity), grid, static_cast<float>(origin_x), static_cast<float>(origin_y));
    gather<kColors, kSamples>(args, e, color, gaussian / args.count, origin_x, origin_y, share, &sums);
  }
  reduce(args.sharing, &sums);
  if (lane != 0 || share != 0) return;
  const int channels = kColors < 4 ? kColors : args.source.channels;
  float* out = args.grad_gaussians + gaussian * (kShapeParameters + channels);
  const int supersample = kSamples == 0 ? args.supersample : kSamples;
  const float weight = 1.0f / static_cast<float>(supersample * supersample);
  Moments& s = sums.moments;
  const bool drawn = finite && p.opacity > kAlphaThreshold;
  float shape[5] = {};
  if (drawn) {
    s = {weight * s.one, weight * s.u, weight * s.v, weight * s.uu, weight * s.uv, weight * s.vv};
    whitening_backward(m, s, grid, shape);
  }
#pragma unroll
  for (int k = 0; k < 5; ++k) out[k] = shape[k];
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
    if (c < channels) out[5 + c] = drawn ? weight * scale_of(args, c) * sums.color[c] : 0.0f;
  }
  out[5 + channels] = drawn ? s.one / p.opacity : 0.0f;
}

}  // namespace gsdd::cuda
