// Adding one prepared Gaussian up over a thread's four pixels: three ways, for three kinds of Gaussian.
#pragma once

#include "record.h"

namespace gsdd::cuda {

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

template <bool kClip>
GSDD_DEVICE float clipped(float alpha) {
  return kClip ? fminf(alpha, kAlphaLimit) : alpha;
}

// Adds a sample that is drawn. Written so that the sum itself is made under the test's predicate.
template <bool kClip>
GSDD_DEVICE void add_tested(float alpha, bool first, float* amount) {
  if (first) {
    *amount = alpha >= kAlphaThreshold ? clipped<kClip>(alpha) : 0.0f;
  } else if (alpha >= kAlphaThreshold) {
    *amount += clipped<kClip>(alpha);
  }
}

// 2 x 2 samples a pixel: two exponentials for the four samples of two neighbouring pixels. No alpha of such a run can
// be lost to underflow if one of it is drawn: 1.5 pixels change the root of the exponent by 4.4 at most. No opacity of
// 1 or less is to be clipped: kClip is false for it.
template <int kColors, bool kClip>
GSDD_DEVICE void add_by_runs(const simt::Float4* record, float x, float y, float (*sums)[kColors]) {
  const simt::Float4 a = record[0], b = record[1];
  float amounts[kRun];
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
      add_tested<kClip>(alpha0, t == 0, &amounts[k]);
      add_tested<kClip>(alpha1, false, &amounts[k]);
      add_tested<kClip>(alpha2, t == 0, &amounts[k + 1]);
      add_tested<kClip>(alpha3, false, &amounts[k + 1]);
    }
  }
  const simt::Float4 color = record[2];
#pragma unroll
  for (int k = 0; k < kRun; ++k) add_colors<kColors>(color, amounts[k], sums[k]);
}

// Apart, so that the instructions of each way can be counted.
template <int kColors>
GSDD_DEVICE void add_clipped_by_runs(const simt::Float4* record, float x, float y, float (*sums)[kColors]) {
  add_by_runs<kColors, true>(record, x, y, sums);
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
        add_tested<true>(simt::exp2_fast(fmaf(-u, u, bits)), false, &amounts[k]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kRun; ++k) add_colors<kColors>(color, amounts[k], sums[k]);
}

}  // namespace gsdd::cuda
