// The samples of a cell, four pixels of a row, at one height: what each adds to its pixel, and their sums for the
// gradient of the shape.
#pragma once

#include "prepare.h"

namespace gsdd::cuda {

// A drawn sample's share of the pixel, and of the gradient: clipped samples have the first but not the second.
struct Sample {
  float drawn, open;
};

// No opacity of 1 or less is to be clipped: kClip is false for it, and both are the same.
template <bool kClip>
GSDD_DEVICE Sample tested_gradient(float alpha) {
  const float kept = alpha >= kAlphaThreshold ? alpha : 0.0f;
  if constexpr (!kClip) return {kept, kept};
  return {fminf(kept, kAlphaLimit), kept > kAlphaLimit ? 0.0f : kept};
}

// Sums of the samples' weights times 1, u, u^2.
struct RowSums {
  float one, u, uu;
};

// The 2 x 2 samples of four pixels, two exponentials for four samples as in the forward kernel. The eight samples lie
// half a pixel apart: their moments are taken over whole numbers, from the middle of the cell, and made those of u
// once.
template <bool kClip>
GSDD_DEVICE void gather_row_by_runs(const Ellipse& e, float ratio, float x, float row_u, float bits,
                                    const float* through_color, float* drawn, RowSums* row) {
  const float back = -0.25f * e.m11 * e.m11;
  // Of the weights: the sum, and the first and second moments in half pixels.
  float sum = 0.0f, first = 0.0f, second = 0.0f;
#pragma unroll
  for (int k = 0; k < kRun; k += 2) {
    const float u = fmaf(e.m11, x + (static_cast<float>(k) + 0.25f), row_u);
    const float alpha0 = simt::exp2_fast(fmaf(-u, u, bits));
    float step = simt::exp2_fast(fmaf(-e.m11, u, back));
    const float alpha1 = alpha0 * step;
    step *= ratio;
    const float alpha2 = alpha1 * step;
    step *= ratio;
    const float alphas[4] = {alpha0, alpha1, alpha2, alpha2 * step};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const Sample left = tested_gradient<kClip>(alphas[2 * i]), right = tested_gradient<kClip>(alphas[2 * i + 1]);
      drawn[k + i] += left.drawn + right.drawn;
      // The pixel's samples lie at `at` - 0.5 and `at` + 0.5.
      const float at = 2.0f * static_cast<float>(k + i) - 3.0f;
      const float both = through_color[k + i] * (left.open + right.open);
      const float apart = through_color[k + i] * (right.open - left.open);
      sum += both;
      first = fmaf(at, both, fmaf(0.5f, apart, first));
      second = fmaf(at * at + 0.25f, both, fmaf(at, apart, second));
    }
  }
  const float half = 0.5f * e.m11, middle = fmaf(e.m11, x + 2.0f, row_u), off = half * first;
  row->one = sum;
  row->u = fmaf(middle, sum, off);
  row->uu = fmaf(middle, row->u + off, half * half * second);
}

// Apart, so that the instructions of each way can be counted.
GSDD_DEVICE void gather_clipped_row_by_runs(const Ellipse& e, float ratio, float x, float row_u, float bits,
                                            const float* through_color, float* drawn, RowSums* row) {
  gather_row_by_runs<true>(e, ratio, x, row_u, bits, through_color, drawn, row);
}

// A row's sums at height v, added to those of the Gaussian.
GSDD_DEVICE void add_row(const RowSums& row, float v, Moments* m) {
  const float at_v = v * row.one;
  m->one += row.one;
  m->u += row.u;
  m->uu += row.uu;
  m->v += at_v;
  m->uv = fmaf(v, row.u, m->uv);
  m->vv = fmaf(v, at_v, m->vv);
}

// Any number of samples, any opacity.
GSDD_DEVICE void gather_row_by_samples(const Ellipse& e, int supersample, float x, float row_u, float bits,
                                       const float* through_color, float* drawn, RowSums* row) {
  const float step = 1.0f / static_cast<float>(supersample);
#pragma unroll 1
  for (int s = 0; s < supersample; ++s) {
    const float offset = (static_cast<float>(s) + 0.5f) * step;
#pragma unroll
    for (int k = 0; k < kRun; ++k) {
      const float u = fmaf(e.m11, x + (static_cast<float>(k) + offset), row_u);
      const Sample sample = tested_gradient<true>(simt::exp2_fast(fmaf(-u, u, bits)));
      drawn[k] += sample.drawn;
      const float weight = through_color[k] * sample.open, at_u = weight * u;
      row->one += weight;
      row->u += at_u;
      row->uu = fmaf(at_u, u, row->uu);
    }
  }
}

}  // namespace gsdd::cuda
