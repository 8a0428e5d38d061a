// Gradients: each Gaussian gathers over its own footprint, strip by strip. Nothing is saved by the forward pass and
// nothing is shared between Gaussians, so the result does not depend on who gathers which.
#pragma once

#include "chain.h"
#include "moments.h"
#include "panel.h"
#include "strip_plan.h"

namespace gsdd::cpu::GSDD_ISA {

// The image gradient under one strip: row 0 is the strip's first, and whole tiles can be read.
struct Strip {
  int column, row;  // of the image
  const float* from;
  int64_t plane, pitch;  // numbers from one channel, and one row, to the next
};

GSDD_INLINE Vec load_tile(const Strip& strip, int c, int tile) {
  const float* from = strip.from + c * strip.plane + tile * kTileRows * strip.pitch;
#if defined(__AVX512F__)
  return (Vec)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(from)), _mm256_loadu_ps(from + strip.pitch), 1);
#else
  return load(from);
#endif
}

// A strip that hangs over the image's edge, with zeros there.
struct alignas(64) Stage {
  float numbers[kMaxChannels * kPanelRows * kTileColumns];
};

template <int C>
GSDD_INLINE void stage_strip(const SplatGradParams& p, Strip* strip, int from, int to, Stage* stage) {
  constexpr int kPlane = kPanelRows * kTileColumns;
  const int columns = minimum(kTileColumns, p.width - strip->column);
  for (int c = 0; c < C; ++c) {
    for (int r = from * kTileRows; r < to * kTileRows; ++r) {
      float* out = stage->numbers + c * kPlane + r * kTileColumns;
      const bool in_image = strip->row + r < p.height;
      for (int j = 0; j < kTileColumns; ++j) {
        out[j] = in_image && j < columns ? strip->from[c * strip->plane + r * strip->pitch + j] : 0.0f;
      }
    }
  }
  strip->from = stage->numbers;
  strip->plane = kPlane;
  strip->pitch = kTileColumns;
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
  Vec color[C]{}, sample_color[C]{};
};

// Sums over the rows of one lane of 2 x 2 samples a pixel: of w, w y and w y^2, and with s and t, 0 or 1, the sample's
// place in its pixel; y is that of the row t = 0, from the run's middle.
struct SampleSums {
  Vec w{}, wy{}, wyy{}, wt{}, wty{}, ws{}, wsy{}, wst{};
};

// Adds the sums of one run; u and v are those of the sample s = t = 0 of a lane at the run's middle.
GSDD_INLINE void add_samples(LaneMoments* to, const SampleSums& m, Vec u, Vec v, float du, float dv, float vy) {
  const Vec y = m.wy + 0.5f * m.wt, yy = m.wyy + m.wty + 0.25f * m.wt, sy = m.wsy + 0.5f * m.wst;
  const Vec sum_v = v * m.w + dv * m.ws + vy * y, sum_sv = (v + dv) * m.ws + vy * sy;
  to->one += m.w;
  to->u += u * m.w + du * m.ws;
  to->v += sum_v;
  to->uu += u * u * m.w + (2.0f * u + du) * du * m.ws;
  to->uv += u * sum_v + du * sum_sv;
  to->vv += v * (sum_v + vy * y) + dv * (sum_sv + vy * sy) + vy * vy * yy;
}

template <int C, bool kClip, bool kNarrow>
GSDD_INLINE void gather_edge(const Strip& strip, const Block& block, int i, int from, int tiles, const Vec* color,
                             Gather<C>* out) {
  const int column = strip.column, row = strip.row + from * kTileRows;
  const Frames& f = block.sample;
  const Vec x = lane_columns() + (static_cast<float>(column) - block.origin_x[i]);
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit), step = vec(block.sample.step[i]);
  Chain4 chain = start4(block, i, x, lane_rows() + (static_cast<float>(row) - block.origin_y[i]));
  // Rows are counted from the run's middle, so that the sums of squares stay small.
  const float half = 0.5f * static_cast<float>(tiles * kTileRows);
  const float middle = static_cast<float>(row) + half - block.origin_y[i];
  Vec y = lane_rows() + (0.25f - half);
  SampleSums m;
  Vec colors[C]{};
  for (int k = 0; k < tiles; ++k) {
    Vec through{}, gradient[C];
    for (int c = 0; c < C; ++c) {
      gradient[c] = load_tile(strip, c, from + k);
      through += gradient[c] * color[c];
    }
    Vec kept[4], alphas{};
    for (int q = 0; q < 4; ++q) {
      const Vec alpha = chain.alpha[q];
      kept[q] = alpha;
      if (kClip) {
        alphas = add_where_ge(alphas, minimum(alpha, limit), alpha, threshold);
        kept[q] = keep_ge(limit, alpha, alpha);
      }
      chain.alpha[q] = alpha * chain.ratio[q];
      chain.ratio[q] = next_ratio<kNarrow>(chain.ratio[q], step);
    }
    const Vec both = keep_ge(kept[3], threshold, kept[3]);
    const Vec lower = add_where_ge(both, kept[2], kept[2], threshold);
    const Vec right = add_where_ge(both, kept[1], kept[1], threshold);
    const Vec all = add_where_ge(add_where_ge(lower, kept[1], kept[1], threshold), kept[0], kept[0], threshold);
    const Vec w = through * all, wt = through * lower, ws = through * right;
    const Vec wy = w * y;
    if (kClip) m.w += w;
    m.wy += wy;
    m.wyy += wy * y;
    m.wt += wt;
    m.wty += wt * y;
    m.ws += ws;
    m.wsy += ws * y;
    m.wst += through * both;
    for (int c = 0; c < C; ++c) colors[c] += gradient[c] * (kClip ? alphas : all);
    y += static_cast<float>(kTileRows);
  }
  for (int c = 0; c < C; ++c) {
    out->sample_color[c] += colors[c];
    if (!kClip) m.w += colors[c] * color[c];
  }
  const Vec u = f.u0[i] + f.ux[i] * (x + 0.25f), v = f.v0[i] + f.vx[i] * (x + 0.25f) + f.vy[i] * middle;
  add_samples(&out->sample, m, u, v, 0.5f * f.ux[i], 0.5f * f.vx[i], f.vy[i]);
}

template <int C>
GSDD_INLINE void gather_inside(const Strip& strip, const Block& block, int i, int from, int tiles, const Vec* color,
                               Gather<C>* out) {
  const int column = strip.column, row = strip.row + from * kTileRows;
  const Frames& f = block.pixel;
  const Vec x = lane_columns() + (static_cast<float>(column) - block.origin_x[i]);
  const Vec y = lane_rows() + (static_cast<float>(row) - block.origin_y[i]);
  const Vec step = vec(block.pixel.step[i]);
  Chain1 chain = start1(block, i, x, y);
  const float half = 0.5f * static_cast<float>(tiles * kTileRows);
  Vec n = lane_rows() + (0.5f - half);
  Vec sums[C]{}, m1{}, m2{};
  for (int k = 0; k < tiles; ++k) {
    Vec through{};
    for (int c = 0; c < C; ++c) {
      const Vec gradient = load_tile(strip, c, from + k);
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
  const float middle = static_cast<float>(row) + half - block.origin_y[i];
  add_column(&out->pixel, f.u0[i] + f.ux[i] * center, f.v0[i] + f.vx[i] * center + f.vy[i] * middle, f.vy[i], m0, m1,
             m2);
}

template <int C>
void gather_direct(const Strip& strip, const Block& block, int i, int from, int tiles, int samples, const Vec* color,
                   Gather<C>* out) {
  const int column = strip.column, row = strip.row + from * kTileRows;
  const Frames& f = block.sample;
  const Vec x = lane_columns() + (static_cast<float>(column) - block.origin_x[i]);
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit), opacity = vec(f.opacity[i]);
  const float step = 1.0f / static_cast<float>(samples);
  for (int k = 0; k < tiles; ++k) {
    const Vec y = lane_rows() + (static_cast<float>(row + k * kTileRows) - block.origin_y[i]);
    Vec through{}, gradient[C], alphas{};
    for (int c = 0; c < C; ++c) {
      gradient[c] = load_tile(strip, c, from + k);
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
    for (int c = 0; c < C; ++c) out->sample_color[c] += gradient[c] * alphas;
  }
}

template <int C>
GSDD_INLINE void gather_run(const Strip& strip, const Block& block, int i, const Run& run, int samples,
                            const Vec* color, const Vec* sample_color, Gather<C>* out) {
  const int tiles = run.to - run.from;
  if (run.how == How::kInside) {
    gather_inside<C>(strip, block, i, run.from, tiles, color, out);
  } else if (run.how == How::kDirect) {
    gather_direct<C>(strip, block, i, run.from, tiles, samples, sample_color, out);
  } else if (run.how == How::kEdge) {
    if (block.narrow[i]) {
      gather_edge<C, false, true>(strip, block, i, run.from, tiles, sample_color, out);
    } else {
      gather_edge<C, false, false>(strip, block, i, run.from, tiles, sample_color, out);
    }
  } else if (block.narrow[i]) {
    gather_edge<C, true, true>(strip, block, i, run.from, tiles, sample_color, out);
  } else {
    gather_edge<C, true, false>(strip, block, i, run.from, tiles, sample_color, out);
  }
}

template <int C>
void gather_gaussian(const SplatGradParams& p, const float* image, const Block& block, int i, float* grad) {
  constexpr int kParameters = kShapeParameters + C;
  for (int k = 0; k < kParameters; ++k) grad[k] = 0.0f;
  if (block.first_column[i] > block.last_column[i]) return;
  const float weight = 1.0f / static_cast<float>(p.supersample * p.supersample);
  Vec color[C], sample_color[C];
  for (int c = 0; c < C; ++c) {
    color[c] = vec(block.raw[5 + c][i]);
    sample_color[c] = color[c] * weight;
  }
  Gather<C> out;
  Stage stage;
  const int64_t plane = int64_t{p.height} * p.width;
  const int first_column = block.first_column[i] / kTileColumns * kTileColumns;
  const int first_row = block.first_row[i] / kTileRows * kTileRows;
  const EllipseVecs ellipse = repeat_ellipse(block, i);
  const float sample_margin = 0.5f / static_cast<float>(p.supersample);
  for (int row = first_row; row <= block.last_row[i]; row += kPanelRows) {
    const int rows = minimum(kPanelRows, p.height - row);
    for (int left = first_column; left <= block.last_column[i]; left += kLanes * kTileColumns) {
      ExtentArrays<kLanes> strips;
      const Vec columns =
          count_up() * static_cast<float>(kTileColumns) + (static_cast<float>(left) - block.origin_x[i]);
      strips.put(0, extents(ellipse, columns, row, rows, sample_margin));
      for (int s = 0; s < kLanes; ++s) {
        const int column = left + s * kTileColumns;
        if (column > block.last_column[i]) break;
        if (strips.from[s] >= strips.to[s]) continue;
        const StripPlan plan = plan_strip(strips.at(s), block.wide[i], p.supersample);
        Strip strip{column, row, image + row * int64_t{p.width} + column, plane, p.width};
        if (column + kTileColumns > p.width || row + strips.to[s] * kTileRows > p.height) {
          stage_strip<C>(p, &strip, strips.from[s], strips.to[s], &stage);
        }
        for (int k = 0; k < plan.count; ++k) {
          gather_run<C>(strip, block, i, plan.runs[k], p.supersample, color, sample_color, &out);
        }
      }
    }
  }
  Moments of_samples{}, of_pixels{};
  add(&of_samples, out.sample);
  if (block.wide[i]) add(&of_pixels, out.pixel);
  for (int c = 0; c < C; ++c) grad[5 + c] = sum(out.sample_color[c]) * weight + sum(out.color[c]);
  shape_gradient(p, block, i, of_samples, of_pixels, grad);
}

template <int C>
void backward(const SplatGradParams& p, int64_t begin, int64_t end) {
  Block block;
  const int64_t plane = int64_t{p.height} * p.width;
  for (int64_t index = begin; index < end;) {
    const int64_t image = index / p.count;
    const int64_t stop = minimum(minimum(end, (image + 1) * p.count), index + kBlock);
    place_block<C>(p, index, static_cast<int>(stop - index), &block);
    for (int i = 0; i < block.count; ++i) {
      gather_gaussian<C>(p, p.grad_images + image * plane * C, block, i,
                         p.grad_gaussians + (index + i) * (kShapeParameters + C));
    }
    index = stop;
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
