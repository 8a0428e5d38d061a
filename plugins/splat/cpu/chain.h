// Alphas down the rows by recurrence: alpha *= ratio, ratio *= step, from exact values at the first tile.
#pragma once

#include "shapes.h"

namespace gsdd::cpu::GSDD_ISA {

// Which tiles of one strip (a column of tiles) are drawn, and how; tiles count from the strip's first row.
struct StripPlan {
  int first, last;                // touched: first .. last - 1
  int first_inside, last_inside;  // of these, inside the ellipse throughout; empty: first_inside = last_inside = last
  bool chained;                   // the recurrence is safe
};

constexpr int kFewestInside = 3;  // shorter runs do not pay for their own start

// Strip: tiles of kTileColumns columns from `column`, `rows` rows from `row`.
GSDD_INLINE StripPlan plan_strip(const Block& block, int i, int column, int row, int rows, int samples) {
  const float left = static_cast<float>(column), right = left + static_cast<float>(kTileColumns);
  const Rows r = ellipse_rows(block, i, left, right);
  StripPlan plan;
  const float base = static_cast<float>(row);
  const int first_row = floor_between(r.first - base, 0, rows), last_row = floor_between(r.last - base + 1.0f, 0, rows);
  plan.first = first_row / kTileRows;
  plan.last = first_row < last_row ? (last_row + kTileRows - 1) / kTileRows : plan.first;
  plan.first_inside = plan.last_inside = plan.last;
  // The recurrence must neither overflow nor lose a lane to underflow anywhere in the strip.
  const Frames& f = block.sample;
  const float x = left - block.origin_x[i], half_rows = 0.5f * static_cast<float>((plan.last - plan.first) * kTileRows);
  const float u_a = f.u0[i] + f.ux[i] * x, u_b = u_a + f.ux[i] * static_cast<float>(kTileColumns);
  const float middle = base + static_cast<float>(plan.first * kTileRows) + half_rows - block.origin_y[i];
  const float v = __builtin_fabsf(f.v0[i] + f.vx[i] * (x + 0.5f * kTileColumns) + f.vy[i] * middle) +
                  __builtin_fabsf(f.vx[i]) * (0.5f * kTileColumns) + f.vy[i] * half_rows;
  const float u2 = maximum(u_a * u_a, u_b * u_b), stride = f.vy[i] * static_cast<float>(kTileRows);
  plan.chained = samples == 2 && u2 + v * v < 100.0f && stride * (2.0f * v + stride) < 100.0f;
  if (block.wide[i] != 0.0f && plan.chained) {
    const float margin = 0.5f / static_cast<float>(samples);
    const int first = floor_between(r.first_inside - base - margin + 1.0f, 0, rows);
    const int last = floor_between(r.last_inside - base + margin, 0, rows);
    const int first_tile = (first + kTileRows - 1) / kTileRows, last_tile = last / kTileRows;
    if (last_tile - first_tile >= kFewestInside) {
      plan.first_inside = first_tile;
      plan.last_inside = last_tile;
    }
  }
  return plan;
}

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

GSDD_INLINE Vec ratio_at(Vec v, float stride) { return exp2(-stride * (2.0f * v + stride)); }

// At the tile whose lanes' upper left corners are (x, y), relative to the origin.
GSDD_INLINE Chain4 start4(const Block& block, int i, Vec x, Vec y) {
  const Frames& f = block.sample;
  const Vec u = f.u0[i] + f.ux[i] * (x + 0.25f), v = f.v0[i] + f.vx[i] * (x + 0.25f) + f.vy[i] * (y + 0.25f);
  const float stride = f.vy[i] * static_cast<float>(kTileRows);
  Chain4 chain;
  for (int k = 0; k < 4; ++k) {
    const Vec uk = u + 0.5f * f.ux[i] * static_cast<float>(k & 1);
    const Vec vk = v + (0.5f * f.vx[i] * static_cast<float>(k & 1) + 0.5f * f.vy[i] * static_cast<float>(k >> 1));
    chain.alpha[k] = f.opacity[i] * exp2(-(uk * uk + vk * vk));
    chain.ratio[k] = ratio_at(vk, stride);
  }
  return chain;
}

GSDD_INLINE Chain1 start1(const Block& block, int i, Vec x, Vec y) {
  const Frames& f = block.pixel;
  const Vec u = f.u0[i] + f.ux[i] * (x + 0.5f), v = f.v0[i] + f.vx[i] * (x + 0.5f) + f.vy[i] * (y + 0.5f);
  return {f.opacity[i] * exp2(-(u * u + v * v)), ratio_at(v, f.vy[i] * static_cast<float>(kTileRows))};
}

}  // namespace gsdd::cpu::GSDD_ISA
