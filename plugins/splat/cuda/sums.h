// Adding one prepared Gaussian up over a thread's four pixels: three ways, for three kinds of Gaussian.
#pragma once

#include "prepare.h"

namespace gsdd::cuda {

// A prepared Gaussian as five vectors in shared memory. A stride of five keeps lanes in different banks.
//   0: bits, m11, m12, u0    1: m22, v0, ratio, center_x    2: colours
//   3: the same as 0 for the smooth form                     4: m22, v0, ratio (negative: never smooth), center_y
// ratio: that of successive ratios of alphas one step apart; a step is half a pixel in 1 (used where S = 2), and one
// pixel in 4.
inline constexpr int kRecordVectors = 5;

// One Gaussian over the thread's pixels at (x .. x + 3, y), pixel corners from the tile's. Adds to sums[pixel][colour].

template <int kColors>
GSDD_DEVICE void add_colors(const simt::Float4& color, float amount, float* sum) {
  sum[0] = fmaf(amount, color.x, sum[0]);
  if constexpr (kColors > 1) sum[1] = fmaf(amount, color.y, sum[1]);
  if constexpr (kColors > 2) sum[2] = fmaf(amount, color.z, sum[2]);
  if constexpr (kColors > 3) sum[3] = fmaf(amount, color.w, sum[3]);
}

// One evaluation a pixel, by recurrence along the row.
template <int kColors>
GSDD_DEVICE void add_smoothly(const simt::Float4* record, float x, float y, float (*sums)[kColors]) {
  const simt::Float4 a = record[3], b = record[4], color = record[2];
  const float u = fmaf(a.y, x + 0.5f, fmaf(a.z, y + 0.5f, a.w)), v = fmaf(b.x, y + 0.5f, b.y);
  float alpha = simt::exp2_fast(fmaf(-u, u, fmaf(-v, v, a.x)));
  float step = simt::exp2_fast(-a.y * fmaf(2.0f, u, a.y));
#pragma unroll
  for (int k = 0; k < kRun; ++k) {
    add_colors<kColors>(color, alpha, sums[k]);
    alpha *= step;
    step *= b.z;
  }
}

GSDD_DEVICE float tested(float alpha) { return alpha >= kAlphaThreshold ? fminf(alpha, kAlphaLimit) : 0.0f; }

// 2 x 2 samples a pixel: two exponentials for the four samples of two neighbouring pixels. No alpha of such a run can
// be lost to underflow if one of it is drawn: 1.5 pixels change the root of the exponent by 4.4 at most.
template <int kColors>
GSDD_DEVICE void add_by_runs(const simt::Float4* record, float x, float y, float (*sums)[kColors]) {
  const simt::Float4 a = record[0], b = record[1];
  float amounts[kRun] = {};
  const float back = -0.25f * a.y * a.y;
#pragma unroll
  for (int t = 0; t < 2; ++t) {
    const float sample_y = y + (0.25f + 0.5f * static_cast<float>(t));
    const float v = fmaf(b.x, sample_y, b.y), bits = fmaf(-v, v, a.x), row = fmaf(a.z, sample_y, a.w);
#pragma unroll
    for (int k = 0; k < kRun; k += 2) {
      const float u = fmaf(a.y, x + (static_cast<float>(k) + 0.25f), row);
      const float alpha0 = simt::exp2_fast(fmaf(-u, u, bits));
      float step = simt::exp2_fast(fmaf(-a.y, u, back));
      const float alpha1 = alpha0 * step;
      step *= b.z;
      const float alpha2 = alpha1 * step;
      step *= b.z;
      const float alpha3 = alpha2 * step;
      amounts[k] += tested(alpha0) + tested(alpha1);
      amounts[k + 1] += tested(alpha2) + tested(alpha3);
    }
  }
  const simt::Float4 color = record[2];
#pragma unroll
  for (int k = 0; k < kRun; ++k) add_colors<kColors>(color, amounts[k], sums[k]);
}

// One exponential a sample: any number of samples, any opacity.
template <int kColors>
GSDD_DEVICE void add_by_samples(const simt::Float4* record, int supersample, float x, float y, float (*sums)[kColors]) {
  const simt::Float4 a = record[0], b = record[1], color = record[2];
  const float step = 1.0f / static_cast<float>(supersample);
  float amounts[kRun] = {};
#pragma unroll 1
  for (int t = 0; t < supersample; ++t) {
    const float sample_y = y + (static_cast<float>(t) + 0.5f) * step;
    const float v = fmaf(b.x, sample_y, b.y), bits = fmaf(-v, v, a.x);
    const float row = fmaf(a.y, x, fmaf(a.z, sample_y, a.w));
#pragma unroll 1
    for (int s = 0; s < supersample; ++s) {
      const float offset = (static_cast<float>(s) + 0.5f) * step;
#pragma unroll
      for (int k = 0; k < kRun; ++k) {
        const float u = fmaf(a.y, static_cast<float>(k) + offset, row);
        amounts[k] += tested(simt::exp2_fast(fmaf(-u, u, bits)));
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kRun; ++k) add_colors<kColors>(color, amounts[k], sums[k]);
}

}  // namespace gsdd::cuda
