// Alphas down the rows by recurrence: alpha *= ratio, and ratio by its step, from exact values at the first tile.
#pragma once

#include "shapes.h"

namespace gsdd::cpu::GSDD_ISA {

// Samples (s, t) = (0, 0), (1, 0), (0, 1), (1, 1) of 2 x 2.
struct Chain4 {
  Vec alpha[4], ratio[4];
};

struct Chain1 {
  Vec alpha, ratio;
};

// A narrow Gaussian's step is a plain factor: 1 + step would cancel. A wide one's keeps its digits as step - 1.
template <bool kNarrow>
GSDD_INLINE Vec next_ratio(Vec ratio, Vec step) {
  return kNarrow ? ratio * step : ratio + ratio * step;
}

GSDD_INLINE Vec ratio_at(Vec v, float stride) { return exp2_between(-stride * (2.0f * v + stride)); }

// At the tile whose lanes' upper left corners are (x, y), relative to the origin.
GSDD_INLINE Chain4 start4(const Block& block, int i, Vec x, Vec y) {
  const Frames& f = block.sample;
  const Vec u = f.u0[i] + f.ux[i] * (x + 0.25f), v = f.v0[i] + f.vx[i] * (x + 0.25f) + f.vy[i] * (y + 0.25f);
  const float du = 0.5f * f.ux[i], dvx = 0.5f * f.vx[i], dvy = 0.5f * f.vy[i];
  // What alpha gains from one sample to the next: right at the first row, and down.
  const Vec right = exp2_between(-(du * (2.0f * u + du) + dvx * (2.0f * v + dvx))),
            down = exp2_between(-dvy * (2.0f * v + dvy));
  Chain4 chain;
  chain.alpha[0] = f.opacity[i] * exp2_between(-(u * u + v * v));
  chain.alpha[1] = chain.alpha[0] * right;
  chain.alpha[2] = chain.alpha[0] * down;
  chain.alpha[3] = chain.alpha[2] * (right * block.cross[i]);
  chain.ratio[0] = ratio_at(v, f.vy[i] * static_cast<float>(kTileRows));
  chain.ratio[1] = chain.ratio[0] * block.across[i];
  chain.ratio[2] = chain.ratio[0] * block.along[i];
  chain.ratio[3] = chain.ratio[1] * block.along[i];
  return chain;
}

GSDD_INLINE Chain1 start1(const Block& block, int i, Vec x, Vec y) {
  const Frames& f = block.pixel;
  const Vec u = f.u0[i] + f.ux[i] * (x + 0.5f), v = f.v0[i] + f.vx[i] * (x + 0.5f) + f.vy[i] * (y + 0.5f);
  return {f.opacity[i] * exp2_between(-(u * u + v * v)), ratio_at(v, f.vy[i] * static_cast<float>(kTileRows))};
}

}  // namespace gsdd::cpu::GSDD_ISA
