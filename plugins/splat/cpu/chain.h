// Alphas down the rows by recurrence: alpha *= ratio, and ratio by its step, from exact values at the first tile.
#pragma once

#include "block.h"
#include "exponent.h"

namespace gsdd::cpu::GSDD_ISA {

template <int C>
GSDD_INLINE void load_colors(const Frame& f, Vec* color) {
  for (int c = 0; c < C; ++c) color[c] = vec(f.color[c]);
}

// Of the lanes' upper left corners, from the origin.
GSDD_INLINE Vec first_x(const Frame& f, int column) {
  return lane_columns() + (static_cast<float>(column) - f.origin_x);
}
GSDD_INLINE Vec first_y(const Frame& f, int row) { return lane_rows() + (static_cast<float>(row) - f.origin_y); }

// Samples (s, t) = (0, 0), (1, 0), (0, 1), (1, 1) of 2 x 2.
struct Chain4 {
  Vec alpha[4], ratio[4];
};

struct Chain1 {
  Vec alpha, ratio;
};

// Chains started ahead of their runs, where nothing waits for them.
constexpr int kAhead = 8;

// A narrow Gaussian's step is a plain factor: 1 + step would cancel. A wide one's keeps its digits as step - 1.
template <bool kNarrow>
GSDD_INLINE Vec next_ratio(Vec ratio, Vec step) {
  return kNarrow ? ratio * step : ratio + ratio * step;
}

GSDD_INLINE Vec ratio_at(Vec v, float stride) { return exp2_between(-stride * (2.0f * v + stride)); }

// At the tile whose lanes' upper left corners are (x, y), relative to the origin. Where the first alpha is 0, so far
// out, the others may be anything that is not drawn: 0, or no number.
GSDD_INLINE Chain4 start4(const Frame& f, Vec x, Vec y) {
  const Vec u = f.u0 + f.ux * (x + 0.25f), v = f.v0 + f.vx * (x + 0.25f) + f.vy * (y + 0.25f);
  const float du = 0.5f * f.ux, dvx = 0.5f * f.vx, dvy = 0.5f * f.vy;
  // What alpha gains from one sample to the next: right at the first row, and down.
  const Vec right = exp2_between(-(du * (2.0f * u + du) + dvx * (2.0f * v + dvx))),
            down = exp2_between(-dvy * (2.0f * v + dvy));
  Chain4 chain;
  chain.alpha[0] = f.opacity * exp2_or_0(-(u * u + v * v));
  chain.alpha[1] = chain.alpha[0] * right;
  chain.alpha[2] = chain.alpha[0] * down;
  chain.alpha[3] = chain.alpha[2] * (right * f.cross);
  chain.ratio[0] = ratio_at(v, f.vy * static_cast<float>(kTileRows));
  chain.ratio[1] = chain.ratio[0] * f.across;
  chain.ratio[2] = chain.ratio[0] * f.along;
  chain.ratio[3] = chain.ratio[1] * f.along;
  return chain;
}

GSDD_INLINE Chain1 start1(const Frame& f, Vec x, Vec y) {
  const Vec u = f.u0 + f.ux * (x + 0.5f), v = f.v0 + f.vx * (x + 0.5f) + f.vy * (y + 0.5f);
  return {f.opacity * exp2_between(-(u * u + v * v)), ratio_at(v, f.vy * static_cast<float>(kTileRows))};
}

}  // namespace gsdd::cpu::GSDD_ISA
