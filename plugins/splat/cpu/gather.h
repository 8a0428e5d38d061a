// What one run of tiles gives to the gradient of one Gaussian, lane by lane.
#pragma once

#include "strips.h"

namespace gsdd::cpu::GSDD_ISA {

// Sums over samples of w times 1, u, v, u^2, u v and v^2, where w = dL/d(ln alpha), in one frame (u, v).
constexpr int kMoments = 6;

struct LaneMoments {
  Vec one{}, u{}, v{}, uu{}, uv{}, vv{};
};

// What a Gaussian gathers: the moments in its sample frame, the sums over samples of their gradient times alpha in each
// channel, and the moments in its pixel frame.
constexpr int kSampleMoments = 0, kColors = kMoments, kPixelMoments = kColors + kMaxChannels;
constexpr int kGatheredNumbers = kPixelMoments + kMoments;
struct alignas(64) Gathered {
  float numbers[kGatheredNumbers];
};

// Adds the lane sums of numbers kFirst .. kLast.
template <int kFirst, int kLast, int kPart = 0>
GSDD_INLINE void add(Gathered* to, const Vec* v) {
  if constexpr (kPart < kGatheredNumbers) {
    float* numbers = to->numbers + kPart;
    store(numbers, load(numbers) + sum_each<kFirst - kPart, kLast - kPart>(v + kPart));
    add<kFirst, kLast, kPart + kLanes>(to, v);
  }
}

template <int C>
GSDD_INLINE void add_samples(Gathered* to, const LaneMoments& m, const Vec* color) {
  Vec v[kGatheredNumbers] = {m.one, m.u, m.v, m.uu, m.uv, m.vv};
  for (int c = 0; c < C; ++c) v[kColors + c] = color[c];
  add<kSampleMoments, kColors + C - 1>(to, v);
}

template <int C>
GSDD_INLINE void add_pixels(Gathered* to, const LaneMoments& m, const Vec* color) {
  Vec v[kGatheredNumbers] = {};
  for (int c = 0; c < C; ++c) v[kColors + c] = color[c];
  const Vec moments[kMoments] = {m.one, m.u, m.v, m.uu, m.uv, m.vv};
  for (int k = 0; k < kMoments; ++k) v[kPixelMoments + k] = moments[k];
  add<kColors, kGatheredNumbers - 1>(to, v);
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

// Sums of w over a lane's tiles by additions alone: `twice` adds `once` after every tile, and `thrice` adds `twice`. A
// tile with m - 1 others behind it is then counted 1, m and m (m + 1) / 2 times.
struct RunningSums {
  Vec once{}, twice{}, thrice{};
};

// Sums over a lane's tiles of w, w y and w y^2.
struct RowMoments {
  Vec w, wy, wyy;
};

// Where y = top - kTileRows * m.
GSDD_INLINE RowMoments row_moments(const RunningSums& sums, Vec top) {
  constexpr float kStep = static_cast<float>(kTileRows);
  const Vec m = kStep * sums.twice, mm = kStep * kStep * (2.0f * sums.thrice - sums.twice);
  return {sums.once, top * sums.once - m, top * (top * sums.once - 2.0f * m) + mm};
}

constexpr float kPixelSamples = 4.0f;  // that one evaluation of an inside tile stands for

// Of 2 x 2 samples a pixel: all of them, those below (t = 1), those on the right (s = 1), and those that are both. y is
// that of the row t = 0, from the run's middle; u and v are those of the sample s = t = 0 of a lane there.
GSDD_INLINE LaneMoments moments(const RowMoments& m, const RowMoments& t, const RowMoments& s, Vec both, Vec u, Vec v,
                                float du, float dv, float vy) {
  const Vec y = m.wy + 0.5f * t.w, yy = m.wyy + t.wy + 0.25f * t.w, sy = s.wy + 0.5f * both;
  const Vec sum_v = v * m.w + dv * s.w + vy * y, sum_sv = (v + dv) * s.w + vy * sy;
  return {m.w,
          u * m.w + du * s.w,
          sum_v,
          u * u * m.w + (2.0f * u + du) * du * s.w,
          u * sum_v + du * sum_sv,
          v * (sum_v + vy * y) + dv * (sum_sv + vy * sy) + vy * vy * yy};
}

template <int C, bool kClip, bool kNarrow>
GSDD_INLINE void gather_edge(const float* tiles, const StripPlace& strip, const Frame& f, int from, int count,
                             Chain4 chain, Gathered* out) {
  const int row = strip.row + from * kTileRows;
  const Vec x = first_x(f, strip.column);
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit), step = vec(f.step);
  Vec color[C];
  load_colors<C>(f, color);
  // Rows are counted from the run's middle, so that the sums of squares stay small.
  const float half = 0.5f * static_cast<float>(count * kTileRows);
  const float middle = static_cast<float>(row) + half - f.origin_y;
  RunningSums sums, sums_below, sums_right;
  Vec sum_both{};
  Vec colors[C]{};
  for (int k = 0; k < count; ++k) {
    Vec through{}, gradient[C];
    for (int c = 0; c < C; ++c) {
      gradient[c] = load(tiles + ((from + k) * C + c) * kLanes);
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
    sums.once += through * all;
    sums.twice += sums.once;
    sums.thrice += sums.twice;
    sums_below.once += through * lower;
    sums_below.twice += sums_below.once;
    sums_right.once += through * right;
    sums_right.twice += sums_right.once;
    sum_both += through * both;
    for (int c = 0; c < C; ++c) colors[c] += gradient[c] * (kClip ? alphas : all);
  }
  const Vec top = lane_rows() + (0.25f + half);
  const Vec u = f.u0 + f.ux * (x + 0.25f), v = f.v0 + f.vx * (x + 0.25f) + f.vy * middle;
  add_samples<C>(out,
                 moments(row_moments(sums, top), row_moments(sums_below, top), row_moments(sums_right, top), sum_both,
                         u, v, 0.5f * f.ux, 0.5f * f.vx, f.vy),
                 colors);
}

template <int C>
GSDD_INLINE void gather_inside(const float* tiles, const StripPlace& strip, const Frame& f, int from, int count,
                               Chain1 chain, Gathered* out) {
  const int row = strip.row + from * kTileRows;
  const Vec x = first_x(f, strip.column);
  const Vec step = vec(f.step);
  Vec color[C];
  load_colors<C>(f, color);
  const float half = 0.5f * static_cast<float>(count * kTileRows);
  RunningSums sums;
  Vec colors[C]{};
  for (int k = 0; k < count; ++k) {
    Vec through{};
    for (int c = 0; c < C; ++c) {
      const Vec gradient = load(tiles + ((from + k) * C + c) * kLanes);
      through += gradient * color[c];
      colors[c] += gradient * chain.alpha;
    }
    sums.once += through * chain.alpha;
    sums.twice += sums.once;
    sums.thrice += sums.twice;
    chain.alpha *= chain.ratio;
    chain.ratio = next_ratio<false>(chain.ratio, step);
  }
  for (int c = 0; c < C; ++c) colors[c] *= kPixelSamples;
  const RowMoments m = row_moments(sums, lane_rows() + (0.5f + half));
  const float middle = static_cast<float>(row) + half - f.origin_y;
  LaneMoments moments;
  const Vec center = x + 0.5f;
  add_column(&moments, f.u0 + f.ux * center, f.v0 + f.vx * center + f.vy * middle, f.vy, m.w, m.wy, m.wyy);
  add_pixels<C>(out, moments, colors);
}

template <int C>
void gather_direct(const float* tiles, const StripPlace& strip, const Frame& f, float level, int from, int count,
                   int samples, Gathered* out) {
  const int row = strip.row + from * kTileRows;
  const Vec x = first_x(f, strip.column);
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit), opacity = vec(f.opacity),
            dropped = vec(level + 1.0f);
  Vec color[C];
  load_colors<C>(f, color);
  const float step = 1.0f / static_cast<float>(samples);
  LaneMoments moments;
  Vec colors[C]{};
  for (int k = 0; k < count; ++k) {
    const Vec y = first_y(f, row + k * kTileRows);
    Vec through{}, gradient[C], alphas{};
    for (int c = 0; c < C; ++c) {
      gradient[c] = load(tiles + ((from + k) * C + c) * kLanes);
      through += gradient[c] * color[c];
    }
    for (int s = 0; s < samples; ++s) {
      const Vec xs = x + (static_cast<float>(s) + 0.5f) * step;
      const Vec u = f.u0 + f.ux * xs, vx = f.v0 + f.vx * xs;
      Vec m0{}, m1{}, m2{};
      for (int t = 0; t < samples; ++t) {
        const Vec v = vx + f.vy * (y + (static_cast<float>(t) + 0.5f) * step);
        const Vec alpha = opacity * exp2_between(-minimum(u * u + v * v, dropped)),
                  kept = keep_ge(alpha, threshold, alpha);
        alphas += minimum(kept, limit);
        const Vec w = keep_ge(limit, alpha, kept) * through, wv = w * v;
        m0 += w;
        m1 += wv;
        m2 += wv * v;
      }
      add_column(&moments, u, Vec{}, 1.0f, m0, m1, m2);
    }
    for (int c = 0; c < C; ++c) colors[c] += gradient[c] * alphas;
  }
  add_samples<C>(out, moments, colors);
}

}  // namespace gsdd::cpu::GSDD_ISA
