// Gradients: each Gaussian gathers over its own footprint, strip by strip. Nothing is saved by the forward pass and
// nothing is shared between Gaussians, so the result does not depend on who gathers which.
#pragma once

#include "chain.h"
#include "moments.h"
#include "panel.h"

namespace gsdd::cpu::GSDD_ISA {

// The image gradient under one tile; zero outside the image.
struct Source {
  const float* image;  // [channel][height][width]
  int64_t plane;
  int height, width;
};

GSDD_INLINE Vec load_tile(const float* from, int64_t stride) {
#if defined(__AVX512F__)
  return (Vec)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(from)), _mm256_loadu_ps(from + stride), 1);
#else
  static_cast<void>(stride);
  return load(from);
#endif
}

template <bool kWhole>
GSDD_INLINE Vec load_gradient(const Source& g, int c, int row, int column) {
  const float* from = g.image + c * g.plane + row * int64_t{g.width} + column;
  if (kWhole) return load_tile(from, g.width);
  Vec v{};
  const int rows = minimum(kTileRows, g.height - row), columns = minimum(kTileColumns, g.width - column);
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < columns; ++j) v[r * kTileColumns + j] = from[r * int64_t{g.width} + j];
  }
  return v;
}

// What a Gaussian gathers, lane by lane, in one frame.
struct LaneMoments {
  Vec one, u, v, uu, uv, vv;
};

GSDD_INLINE void add(Moments* to, const LaneMoments& m) {
  to->one += sum(m.one);
  to->u += sum(m.u);
  to->v += sum(m.v);
  to->uu += sum(m.uu);
  to->uv += sum(m.uv);
  to->vv += sum(m.vv);
}

// From sums over the rows of one lane of w, w y and w y^2, with u and v = v0 + vy * y there.
GSDD_INLINE void add_column(LaneMoments* to, Vec u, Vec v0, float vy, Vec m0, Vec m1, Vec m2) {
  const Vec v = v0 * m0 + vy * m1;
  to->one += m0;
  to->u += u * m0;
  to->v += v;
  to->uu += u * u * m0;
  to->uv += u * v;
  to->vv += v0 * v0 * m0 + 2.0f * vy * v0 * m1 + vy * vy * m2;
}

template <int C>
struct Gather {
  LaneMoments sample{}, pixel{};
  Vec color[C]{};
};

template <int C, bool kWhole, bool kClip, bool kNarrow>
GSDD_INLINE void gather_edge(const Source& g, const Block& block, int i, int column, int row, int tiles,
                             const Vec* color, Gather<C>* out) {
  const Frames& f = block.sample;
  const Vec x = lane_columns() + (static_cast<float>(column) - block.origin_x[i]);
  const Vec y = lane_rows() + (static_cast<float>(row) - block.origin_y[i]);
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit), step = vec(block.sample_step[i]);
  Chain4 chain = start4(block, i, x, y);
  // Rows are counted from the run's middle, so that the sums of squares stay small.
  const float half = 0.5f * static_cast<float>(tiles * kTileRows);
  Vec n = lane_rows() + (0.25f - half);
  Vec m0[2]{}, m1[2]{}, m2[2]{};
  for (int k = 0; k < tiles; ++k, row += kTileRows) {
    Vec through{}, gradient[C];
    for (int c = 0; c < C; ++c) {
      gradient[c] = load_gradient<kWhole>(g, c, row, column);
      through += gradient[c] * color[c];
    }
    Vec alphas{};
    const Vec later = n + 0.5f;
    for (int s = 0; s < 2; ++s) {
      Vec w[2];
      for (int t = 0; t < 2; ++t) {
        const Vec alpha = chain.alpha[s + 2 * t];
        Vec kept = keep_ge(alpha, threshold, alpha);
        alphas += kClip ? minimum(kept, limit) : kept;
        if (kClip) kept = keep_ge(limit, alpha, kept);
        w[t] = kept * through;
        chain.alpha[s + 2 * t] = alpha * chain.ratio[s + 2 * t];
        chain.ratio[s + 2 * t] = next_ratio<kNarrow>(chain.ratio[s + 2 * t], step);
      }
      m0[s] += w[0] + w[1];
      const Vec w0 = w[0] * n, w1 = w[1] * later;
      m1[s] += w0 + w1;
      m2[s] += w0 * n + w1 * later;
    }
    for (int c = 0; c < C; ++c) out->color[c] += gradient[c] * alphas;
    n += static_cast<float>(kTileRows);
  }
  for (int s = 0; s < 2; ++s) {
    const Vec xs = x + (0.25f + 0.5f * static_cast<float>(s));
    const float middle = static_cast<float>(row) - half - block.origin_y[i];
    add_column(&out->sample, f.u0[i] + f.ux[i] * xs, f.v0[i] + f.vx[i] * xs + f.vy[i] * middle, f.vy[i], m0[s], m1[s],
               m2[s]);
  }
}

template <int C, bool kWhole>
GSDD_INLINE void gather_inside(const Source& g, const Block& block, int i, int column, int row, int tiles,
                               const Vec* color, Gather<C>* out) {
  const Frames& f = block.pixel;
  const Vec x = lane_columns() + (static_cast<float>(column) - block.origin_x[i]);
  const Vec y = lane_rows() + (static_cast<float>(row) - block.origin_y[i]);
  const Vec step = vec(block.pixel_step[i]);
  Chain1 chain = start1(block, i, x, y);
  const float half = 0.5f * static_cast<float>(tiles * kTileRows);
  Vec n = lane_rows() + (0.5f - half);
  Vec sums[C]{}, m1{}, m2{};
  for (int k = 0; k < tiles; ++k, row += kTileRows) {
    Vec through{};
    for (int c = 0; c < C; ++c) {
      const Vec gradient = load_gradient<kWhole>(g, c, row, column);
      through += gradient * color[c];
      sums[c] += gradient * chain.alpha;
    }
    const Vec w = through * chain.alpha * n;
    m1 += w;
    m2 += w * n;
    n += static_cast<float>(kTileRows);
    chain.alpha *= chain.ratio;
    chain.ratio = next_ratio<false>(chain.ratio, step);
  }
  Vec m0{};
  for (int c = 0; c < C; ++c) {
    m0 += sums[c] * color[c];
    out->color[c] += sums[c];
  }
  const Vec center = x + 0.5f;
  const float middle = static_cast<float>(row) - half - block.origin_y[i];
  add_column(&out->pixel, f.u0[i] + f.ux[i] * center, f.v0[i] + f.vx[i] * center + f.vy[i] * middle, f.vy[i], m0, m1,
             m2);
}

template <int C>
void gather_direct(const Source& g, const Block& block, int i, int column, int row, int tiles, int samples,
                   const Vec* color, Gather<C>* out) {
  const Frames& f = block.sample;
  const Vec x = lane_columns() + (static_cast<float>(column) - block.origin_x[i]);
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit), opacity = vec(f.opacity[i]);
  const float step = 1.0f / static_cast<float>(samples);
  const bool whole = column + kTileColumns <= g.width && row + tiles * kTileRows <= g.height;
  for (int k = 0; k < tiles; ++k, row += kTileRows) {
    const Vec y = lane_rows() + (static_cast<float>(row) - block.origin_y[i]);
    Vec through{}, gradient[C], alphas{};
    for (int c = 0; c < C; ++c) {
      gradient[c] = whole ? load_gradient<true>(g, c, row, column) : load_gradient<false>(g, c, row, column);
      through += gradient[c] * color[c];
    }
    for (int s = 0; s < samples; ++s) {
      const Vec xs = x + (static_cast<float>(s) + 0.5f) * step;
      const Vec u = f.u0[i] + f.ux[i] * xs, vx = f.v0[i] + f.vx[i] * xs;
      Vec m0{}, m1{}, m2{};
      for (int t = 0; t < samples; ++t) {
        const Vec v = vx + f.vy[i] * (y + (static_cast<float>(t) + 0.5f) * step);
        const Vec alpha = opacity * exp2(-(u * u + v * v)), kept = keep_ge(alpha, threshold, alpha);
        alphas += minimum(kept, limit);
        const Vec w = keep_ge(limit, alpha, kept) * through, wv = w * v;
        m0 += w;
        m1 += wv;
        m2 += wv * v;
      }
      add_column(&out->sample, u, Vec{}, 1.0f, m0, m1, m2);
    }
    for (int c = 0; c < C; ++c) out->color[c] += gradient[c] * alphas;
  }
}

template <int C, bool kWhole>
GSDD_INLINE void gather_chained(const Source& g, const Block& block, int i, int column, int row, const StripPlan& plan,
                                const Vec* color, const Vec* edge_color, Gather<C>* inside, Gather<C>* edge) {
  const auto gather = [&](int from, int to) {
    if (from >= to) return;
    const int first = row + from * kTileRows, tiles = to - from;
    const bool narrow = block.narrow[i] != 0.0f;
    if (block.sample.opacity[i] > kAlphaLimit) {
      if (narrow) {
        gather_edge<C, kWhole, true, true>(g, block, i, column, first, tiles, edge_color, edge);
      } else {
        gather_edge<C, kWhole, true, false>(g, block, i, column, first, tiles, edge_color, edge);
      }
    } else if (narrow) {
      gather_edge<C, kWhole, false, true>(g, block, i, column, first, tiles, edge_color, edge);
    } else {
      gather_edge<C, kWhole, false, false>(g, block, i, column, first, tiles, edge_color, edge);
    }
  };
  gather(plan.first, plan.first_inside);
  if (plan.first_inside < plan.last_inside) {
    gather_inside<C, kWhole>(g, block, i, column, row + plan.first_inside * kTileRows,
                             plan.last_inside - plan.first_inside, color, inside);
  }
  gather(plan.last_inside, plan.last);
}

template <int C>
void gather_gaussian(const SplatGradParams& p, const Source& g, const Block& block, int i, float* grad) {
  constexpr int kParameters = kShapeParameters + C;
  for (int k = 0; k < kParameters; ++k) grad[k] = 0.0f;
  if (block.first_column[i] > block.last_column[i]) return;
  const float weight = 1.0f / static_cast<float>(p.supersample * p.supersample);
  Vec color[C], edge_color[C];
  for (int c = 0; c < C; ++c) {
    color[c] = vec(block.raw[5 + c][i]);
    edge_color[c] = color[c] * weight;
  }
  Gather<C> inside, edge;
  const int first_column = block.first_column[i] / kTileColumns * kTileColumns;
  const int first_row = block.first_row[i] / kTileRows * kTileRows;
  for (int row = first_row; row <= block.last_row[i]; row += kPanelRows) {
    const int rows = minimum(kPanelRows, g.height - row);
    for (int column = first_column; column <= block.last_column[i]; column += kTileColumns) {
      const StripPlan plan = plan_strip(block, i, column, row, rows, p.supersample);
      if (plan.first >= plan.last) continue;
      if (!plan.chained) {
        gather_direct<C>(g, block, i, column, row + plan.first * kTileRows, plan.last - plan.first, p.supersample,
                         edge_color, &edge);
      } else if (column + kTileColumns <= g.width && row + plan.last * kTileRows <= g.height) {
        gather_chained<C, true>(g, block, i, column, row, plan, color, edge_color, &inside, &edge);
      } else {
        gather_chained<C, false>(g, block, i, column, row, plan, color, edge_color, &inside, &edge);
      }
    }
  }
  Moments of_samples{}, of_pixels{};
  add(&of_samples, edge.sample);
  add(&of_pixels, inside.pixel);
  for (int c = 0; c < C; ++c) grad[5 + c] = sum(edge.color[c]) * weight + sum(inside.color[c]);
  shape_gradient(p, block, i, of_samples, of_pixels, grad);
}

template <int C>
void backward(const SplatGradParams& p, int64_t begin, int64_t end) {
  Block block;
  const int64_t plane = int64_t{p.height} * p.width;
  for (int64_t index = begin; index < end;) {
    const int64_t image = index / p.count;
    const int64_t stop = minimum(minimum(end, (image + 1) * p.count), index + kBlock);
    place_block(p, index, static_cast<int>(stop - index), &block);
    const Source source{p.grad_images + image * plane * C, plane, p.height, p.width};
    for (int i = 0; i < block.count; ++i) {
      gather_gaussian<C>(p, source, block, i, p.grad_gaussians + (index + i) * (kShapeParameters + C));
    }
    index = stop;
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
