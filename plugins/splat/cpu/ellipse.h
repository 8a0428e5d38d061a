// Where a Gaussian's ellipse lies in a strip, a column of tiles.
#pragma once

#include "block.h"

namespace gsdd::cpu::GSDD_ISA {

// Tiles of strips: all that a Gaussian touches, those it covers, those where alpha may pass its limit.
struct ExtentVecs {
  IntVec from, to;
  IntVec inside_from, inside_to;
  IntVec clip_from, clip_to;
  IntVec chained;  // whether the recurrence neither overflows nor loses a lane to underflow
};

// What the extents depend on; a lane is a Gaussian.
struct EllipseVecs {
  Vec u0, ux, v0, vx, vy, per_u, per_v, top, level, clip, origin_x, origin_y;
};

// The rows between which columns a .. b of the ellipse u^2 + v^2 <= level lie, relative to the origin.
GSDD_INLINE void rows_touched(const EllipseVecs& e, Vec level, Vec a, Vec b, Vec* first, Vec* last) {
  const Vec top = e.top * rough_sqrt(level);
  // The ellipse's top and bottom, moved into the columns.
  const Vec x_top = maximum(minimum((top - e.u0) * e.per_u, b), a);
  const Vec x_bottom = maximum(minimum((-top - e.u0) * e.per_u, b), a);
  const Vec u_top = e.u0 + e.ux * x_top, u_bottom = e.u0 + e.ux * x_bottom;
  const Vec rest_top = level - u_top * u_top, rest_bottom = level - u_bottom * u_bottom, least = vec(1e-30f);
  const Vec high = (rough_sqrt(maximum(rest_top, least)) - e.v0 - e.vx * x_top) * e.per_v;
  const Vec low = (-rough_sqrt(maximum(rest_bottom, least)) - e.v0 - e.vx * x_bottom) * e.per_v;
  const IntVec touched = (rest_top > Vec{}) | (rest_bottom > Vec{});
  *first = touched ? low : vec(1e30f);
  *last = touched ? high : vec(-1e30f);
}

GSDD_INLINE IntVec rows_between(Vec value, int rows) {
  return whole(minimum(maximum(value, Vec{}), vec(static_cast<float>(rows))));
}

// Of the strip of kTileColumns columns from `column` and `rows` rows from `row`.
GSDD_INLINE ExtentVecs extents(const EllipseVecs& e, int column, int row, int rows, float sample_margin) {
  constexpr float kMargin = 0.02f;  // of the level; more than rounding and rough_sqrt move it
  constexpr int kShift = kTileRows - 1;
  const Vec a = static_cast<float>(column) - e.origin_x, b = a + static_cast<float>(kTileColumns);
  const Vec base = static_cast<float>(row) - e.origin_y;
  ExtentVecs out;
  Vec first, last;
  rows_touched(e, e.level + kMargin, a, b, &first, &last);
  out.from = rows_between(first - base, rows) >> kShift;
  out.to = (rows_between(last - base + 1.0f, rows) + kShift) >> kShift;

  const Vec u_a = e.u0 + e.ux * a, u_b = e.u0 + e.ux * b, v_a = e.v0 + e.vx * a, v_b = e.v0 + e.vx * b;
  const Vec inner = e.level - kMargin, rest_a = inner - u_a * u_a, rest_b = inner - u_b * u_b, least = vec(1e-30f);
  const Vec half_a = rough_sqrt(maximum(rest_a, least)), half_b = rough_sqrt(maximum(rest_b, least));
  const IntVec covered = (rest_a > Vec{}) & (rest_b > Vec{});
  const Vec inside_first = maximum(-half_a - v_a, -half_b - v_b) * e.per_v - base - sample_margin;
  const Vec inside_last = minimum(half_a - v_a, half_b - v_b) * e.per_v - base + sample_margin;
  out.inside_from = (rows_between(inside_first + 1.0f, rows) + kShift) >> kShift;
  out.inside_to = covered ? rows_between(inside_last, rows) >> kShift : IntVec{};

  const Vec limit = e.clip + kMargin;
  rows_touched(e, maximum(limit, least), a, b, &first, &last);
  out.clip_from = rows_between(first - base, rows) >> kShift;
  out.clip_to = e.clip > Vec{} ? (rows_between(last - base + 1.0f, rows) + kShift) >> kShift : IntVec{};

  const Vec y_a = base + __builtin_convertvector(out.from << kShift, Vec);
  const Vec y_b = base + __builtin_convertvector(out.to << kShift, Vec);
  // Only columns that reach into the ellipse need their digits: elsewhere alpha may vanish on the way.
  const Vec root = rough_sqrt(e.level + kMargin);
  const Vec v_left = e.v0 + e.vx * maximum(a, (-root - e.u0) * e.per_u);
  const Vec v_right = e.v0 + e.vx * minimum(b, (root - e.u0) * e.per_u);
  const Vec v_most = maximum(maximum(absolute(v_left + e.vy * y_a), absolute(v_left + e.vy * y_b)),
                             maximum(absolute(v_right + e.vy * y_a), absolute(v_right + e.vy * y_b)));
  const Vec stride = e.vy * static_cast<float>(kTileRows);
  out.chained = (e.level + v_most * v_most < 115.0f) & (stride * (2.0f * v_most + stride) < 120.0f);
  return out;
}

GSDD_INLINE EllipseVecs gather_ellipses(const Block& block, IntVec i) {
  return {gather(block.u0, i),    gather(block.ux, i),    gather(block.v0, i),       gather(block.vx, i),
          gather(block.vy, i),    gather(block.per_u, i), gather(block.per_v, i),    gather(block.top, i),
          gather(block.level, i), gather(block.clip, i),  gather(block.origin_x, i), gather(block.origin_y, i)};
}

}  // namespace gsdd::cpu::GSDD_ISA
