// A block of Gaussians, read from any storage type and placed on the output grid.
//
// The alpha of sample (x, y) is written as opacity * 2^-(u^2 + v^2), with u = u0 + ux * X, v = v0 + vx * X + vy * Y,
// X = x - origin_x and Y = y - origin_y. The square factor of the inverse covariance keeps the digits that its entries
// would lose for a needle, and the origin, the grid point nearest the centre, those that a large canvas would.
#pragma once

#include "../splat.h"
#include "convert.h"
#include "simd.h"

namespace gsdd::cpu::GSDD_ISA {

constexpr int kBlock = 512;
constexpr int kMaxParameters = kShapeParameters + kMaxChannels;
// Least variance across, in square pixels, at which one evaluation stands for a pixel's samples: the fourth cumulant
// that a Gaussian of their variance lacks is then worth 1.3e-4 of alpha.
constexpr double kWideVariance = 4.0;
// log2 of a ratio's step below which the step itself is stored, and above which the step less 1.
constexpr float kNarrowStep = -1.6f;

// One frame (u, v) of each Gaussian.
struct alignas(64) Frames {
  float u0[kBlock], ux[kBlock], v0[kBlock], vx[kBlock], vy[kBlock], opacity[kBlock];
  float step[kBlock];  // a ratio's factor from one tile to the next, less 1 unless narrow; see chain.h
};

struct alignas(64) Block {
  int count;
  float raw[kMaxParameters][kBlock];
  Frames sample;  // of a sample point
  Frames pixel;   // of the mean of a pixel's samples, where the Gaussian is wide
  float origin_x[kBlock], origin_y[kBlock];
  float level[kBlock];                 // u^2 + v^2 at which alpha falls below the threshold; < 0: nothing is drawn
  float clip[kBlock];                  // u^2 + v^2 at which alpha reaches its limit; <= 0: it does not
  float top[kBlock];                   // u at the ellipse's largest y, in units of its radius
  float per_u[kBlock], per_v[kBlock];  // 1 / ux and 1 / vy of the sample frame
  // Of the 2 x 2 samples: see start4.
  float cross[kBlock], along[kBlock], across[kBlock];
  int narrow[kBlock];                             // the step is stored as it is
  int wide[kBlock];                               // `pixel` may be used
  int first_column[kBlock], last_column[kBlock];  // pixels touched, inclusive; first > last: none
  int first_row[kBlock], last_row[kBlock];
};

// The output grid, in the doubles that placing works in.
struct Canvas {
  double width, height, scale_x, scale_y;
  double spread;  // variance of a pixel's samples about its centre
};

template <typename Params>
GSDD_INLINE Canvas canvas_of(const Params& p) {
  const double samples = p.supersample;
  return {static_cast<double>(p.width), static_cast<double>(p.height), static_cast<double>(p.width) / p.native_width,
          static_cast<double>(p.height) / p.native_height, (1.0 - 1.0 / (samples * samples)) / 12.0};
}

constexpr int padded(int count) { return (count + 15) & ~15; }

template <int C, DType kType>
GSDD_INLINE void read_numbers(const void* gaussians, int64_t first, Block* block) {
  constexpr int kParameters = kShapeParameters + C;
  const int64_t base = first * kParameters;
  for (int i = 0; i < block->count; ++i) {
    for (int k = 0; k < kParameters; ++k) {
      block->raw[k][i] = load_number(gaussians, kType, base + i * int64_t{kParameters} + k);
    }
  }
  // The tail is placed with the rest and drawn by nobody.
  for (int i = block->count; i < padded(block->count); ++i) {
    for (int k = 0; k < kParameters; ++k) block->raw[k][i] = 0.0f;
  }
}

// Which Gaussians draw, and up to which u^2 + v^2.
template <int C>
GSDD_INLINE void find_levels(Block* block) {
  constexpr int kParameters = kShapeParameters + C;
  for (int i = 0; i < padded(block->count); i += kLanes) {
    Vec zero{};  // NaN unless every number is finite
    for (int k = 0; k < kParameters; ++k) zero += load(block->raw[k] + i) * 0.0f;
    const Vec opacity = load(block->raw[kParameters - 1] + i);
    const auto drawn = (opacity > vec(kAlphaThreshold)) & (zero == Vec{});
    const Vec log2 = log2_rough(drawn ? opacity : vec(1.0f));
    store(block->level + i, drawn ? log2 + 7.9943534f : vec(-1.0f));
    store(block->clip + i, log2);
  }
}

struct Covariance {
  double xx, xy, yy, determinant;
};

// Sets Gaussian i's frame for a covariance, its centre at (dx, dy) from the origin.
GSDD_INLINE void set_frame(Frames* f, int i, const Covariance& s, double dx, double dy) {
  constexpr double kUnit = 0.84932180028801904272;  // sqrt(0.5 / ln 2): u^2 + v^2 counts halvings
  const double q = kUnit / __builtin_sqrt(s.xx), r = kUnit * __builtin_sqrt(s.xx / s.determinant), k = s.xy / s.xx;
  f->u0[i] = static_cast<float>(-q * dx);
  f->ux[i] = static_cast<float>(q > 1e-18 ? q : 1e-18);
  f->v0[i] = static_cast<float>(r * (k * dx - dy));
  f->vx[i] = static_cast<float>(-r * k);
  f->vy[i] = static_cast<float>(r > 1e-18 ? r : 1e-18);
}

// value, moved into [low, high].
GSDD_INLINE double between(double value, double low, double high) {
  value = value > low ? value : low;
  return value < high ? value : high;
}

GSDD_INLINE void place_one(const Canvas& canvas, int i, const float* opacity, Block* block) {
  constexpr double kVariance = 1.0 / 12.0, kTwiceLn2 = 1.3862943611198906188;
  const double a = canvas.scale_x * (static_cast<double>(block->raw[2][i]) + 0.5);
  const double b = canvas.scale_y * static_cast<double>(block->raw[3][i]);
  const double c = canvas.scale_y * (static_cast<double>(block->raw[4][i]) + 0.5);
  const double x = (static_cast<double>(block->raw[0][i]) + 1.0) * 0.5 * canvas.width;
  const double y = (static_cast<double>(block->raw[1][i]) + 1.0) * 0.5 * canvas.height;
  const double origin_x = static_cast<int>(between(x, 0.0, canvas.width));
  const double origin_y = static_cast<int>(between(y, 0.0, canvas.height));
  block->origin_x[i] = static_cast<float>(origin_x);
  block->origin_y[i] = static_cast<float>(origin_y);

  const double aa = a * a, bb_cc = b * b + c * c, xy = a * b, ac = aa * c * c;
  // The determinant is a sum of positive terms: a needle's never cancels.
  const Covariance sample = {aa + kVariance, xy, bb_cc + kVariance, ac + kVariance * (aa + bb_cc + kVariance)};
  const double wider = kVariance + canvas.spread;
  const Covariance pixel = {aa + wider, xy, bb_cc + wider, ac + wider * (aa + bb_cc + wider)};
  set_frame(&block->sample, i, sample, x - origin_x, y - origin_y);
  set_frame(&block->pixel, i, pixel, x - origin_x, y - origin_y);
  block->sample.opacity[i] = opacity[i];
  block->pixel.opacity[i] = opacity[i] * static_cast<float>(__builtin_sqrt(sample.determinant / pixel.determinant));

  const double slope = xy / __builtin_sqrt(sample.determinant);
  block->top[i] = static_cast<float>(slope / __builtin_sqrt(1.0 + slope * slope));
  const double half = 0.5 * (sample.xx - sample.yy);
  const double larger = 0.5 * (sample.xx + sample.yy) + __builtin_sqrt(half * half + xy * xy);
  block->wide[i] = sample.determinant >= kWideVariance * larger;

  // The box around the ellipse, on the canvas.
  const double level = static_cast<double>(block->level[i]);
  const double two_sigma = kTwiceLn2 * (level > 0.0 ? level : 0.0) + 0.01;
  const double reach_x = __builtin_sqrt(sample.xx * two_sigma), reach_y = __builtin_sqrt(sample.yy * two_sigma);
  const bool drawn = (level >= 0.0) & (x + reach_x >= 0.0) & (x - reach_x <= canvas.width) & (y + reach_y >= 0.0) &
                     (y - reach_y <= canvas.height) & (__builtin_fabsf(block->sample.v0[i]) < 1e9f);
  block->first_column[i] = static_cast<int>(between(x - reach_x, 0.0, canvas.width - 1.0));
  block->first_row[i] = static_cast<int>(between(y - reach_y, 0.0, canvas.height - 1.0));
  block->last_column[i] = drawn ? static_cast<int>(between(x + reach_x, 0.0, canvas.width - 1.0)) : -1;
  block->last_row[i] = drawn ? static_cast<int>(between(y + reach_y, 0.0, canvas.height - 1.0)) : -1;
}

GSDD_INLINE void set_steps(Block* block) {
  for (int i = 0; i < padded(block->count); i += kLanes) {
    const Vec a = load(block->sample.vy + i) * static_cast<float>(kTileRows), x = -2.0f * a * a;
    const Vec b = load(block->pixel.vy + i) * static_cast<float>(kTileRows);
    const auto narrow = x < vec(kNarrowStep);
    store(block->narrow + i, (IntVec)narrow);
    store(block->sample.step + i, narrow ? exp2(x) : exp2_less_1(x));
    store(block->pixel.step + i, exp2_less_1(-2.0f * b * b));
    const Vec vx = load(block->sample.vx + i), vy = load(block->sample.vy + i);
    store(block->cross + i, exp2(-0.5f * vx * vy));
    store(block->across + i, exp2(-a * vx));
    store(block->along + i, exp2(-a * vy));
    store(block->per_u + i, 1.0f / load(block->sample.ux + i));
    store(block->per_v + i, 1.0f / vy);
  }
}

// Places Gaussians first .. first + count of the tensor.
template <int C, typename Params>
__attribute__((noinline)) void place_block(const Params& p, int64_t first, int count, Block* block) {
  block->count = count;
  switch (p.gaussian_dtype) {
    case DType::kFloat32:
      read_numbers<C, DType::kFloat32>(p.gaussians, first, block);
      break;
    case DType::kFloat16:
      read_numbers<C, DType::kFloat16>(p.gaussians, first, block);
      break;
    default:
      read_numbers<C, DType::kBFloat16>(p.gaussians, first, block);
      break;
  }
  find_levels<C>(block);
  const Canvas canvas = canvas_of(p);
  const float* opacity = block->raw[kShapeParameters - 1 + C];
  for (int i = 0; i < padded(count); ++i) place_one(canvas, i, opacity, block);
  set_steps(block);
}

}  // namespace gsdd::cpu::GSDD_ISA
