// How one strip (a column of tiles) of a Gaussian is drawn, from the top down.
#pragma once

#include "shapes.h"

namespace gsdd::cpu::GSDD_ISA {

enum class How {
  kDirect,  // an exponential for each sample, each tested against the threshold and the limit
  kEdge,    // by recurrence, each sample tested against the threshold
  kClip,    // the same, and against the limit
  kInside   // by recurrence, one evaluation a pixel: wide, and inside the ellipse and under the limit throughout
};

// Tiles from .. to - 1 of a strip.
struct Run {
  int from, to;
  How how;
};

struct StripPlan {
  int count = 0;
  Run runs[5];

  void add(int from, int to, How how) {
    if (from < to) runs[count++] = {from, to, how};
  }
};

constexpr int kFewestInside = 3;  // shorter runs do not pay for their own start

// Tiles of a strip: all that a Gaussian touches, those it covers, those where alpha may pass its limit.
struct Extents {
  int from, to;
  int inside_from, inside_to;
  int clip_from, clip_to;
  int chained;  // whether the recurrence neither overflows nor loses a lane to underflow
};

struct ExtentVecs {
  IntVec from, to, inside_from, inside_to, clip_from, clip_to, chained;
};

// What the extents depend on; a lane is a Gaussian, or the same Gaussian in another strip.
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

// Of the strip of kTileColumns columns from `column` (relative to the origin) and `rows` rows from `row`.
GSDD_INLINE ExtentVecs extents(const EllipseVecs& e, Vec column, int row, int rows, float sample_margin) {
  constexpr float kMargin = 0.02f;  // of the level; more than rounding and rough_sqrt move it
  constexpr int kShift = kTileRows - 1;
  const Vec a = column, b = column + static_cast<float>(kTileColumns);
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
  const Vec v_most = maximum(maximum(absolute(v_a + e.vy * y_a), absolute(v_a + e.vy * y_b)),
                             maximum(absolute(v_b + e.vy * y_a), absolute(v_b + e.vy * y_b)));
  const Vec stride = e.vy * static_cast<float>(kTileRows);
  out.chained =
      (maximum(u_a * u_a, u_b * u_b) + v_most * v_most < 100.0f) & (stride * (2.0f * v_most + stride) < 100.0f);
  return out;
}

GSDD_INLINE EllipseVecs load_ellipses(const Block& block, int i) {
  const Frames& f = block.sample;
  return {load(f.u0 + i),        load(f.ux + i),        load(f.v0 + i),           load(f.vx + i),
          load(f.vy + i),        load(block.per_u + i), load(block.per_v + i),    load(block.top + i),
          load(block.level + i), load(block.clip + i),  load(block.origin_x + i), load(block.origin_y + i)};
}

GSDD_INLINE EllipseVecs repeat_ellipse(const Block& block, int i) {
  const Frames& f = block.sample;
  return {vec(f.u0[i]),        vec(f.ux[i]),        vec(f.v0[i]),           vec(f.vx[i]),
          vec(f.vy[i]),        vec(block.per_u[i]), vec(block.per_v[i]),    vec(block.top[i]),
          vec(block.level[i]), vec(block.clip[i]),  vec(block.origin_x[i]), vec(block.origin_y[i])};
}

// The extents of many, one array each.
template <int kCount>
struct alignas(64) ExtentArrays {
  int from[kCount], to[kCount], inside_from[kCount], inside_to[kCount], clip_from[kCount], clip_to[kCount],
      chained[kCount];

  void put(int i, const ExtentVecs& e) {
    store(from + i, e.from);
    store(to + i, e.to);
    store(inside_from + i, e.inside_from);
    store(inside_to + i, e.inside_to);
    store(clip_from + i, e.clip_from);
    store(clip_to + i, e.clip_to);
    store(chained + i, e.chained);
  }
  Extents at(int i) const {
    return {from[i], to[i], inside_from[i], inside_to[i], clip_from[i], clip_to[i], chained[i]};
  }
};

GSDD_INLINE StripPlan plan_strip(const Extents& e, bool wide, int samples) {
  StripPlan plan;
  if (samples != 2 || !e.chained) {
    plan.add(e.from, e.to, How::kDirect);
    return plan;
  }
  const bool clips = e.clip_from < e.clip_to;
  const bool apart = !clips || (e.inside_from <= e.clip_from && e.clip_to <= e.inside_to);
  const int gap = clips ? e.clip_to - e.clip_from : 0;
  if (!wide || !apart || e.inside_to - e.inside_from - gap < kFewestInside) {
    plan.add(e.from, e.to, clips ? How::kClip : How::kEdge);
    return plan;
  }
  plan.add(e.from, e.inside_from, How::kEdge);
  if (clips) {
    plan.add(e.inside_from, e.clip_from, How::kInside);
    plan.add(e.clip_from, e.clip_to, How::kClip);
    plan.add(e.clip_to, e.inside_to, How::kInside);
  } else {
    plan.add(e.inside_from, e.inside_to, How::kInside);
  }
  plan.add(e.inside_to, e.to, How::kEdge);
  return plan;
}

}  // namespace gsdd::cpu::GSDD_ISA
