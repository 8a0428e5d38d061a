// A block of Gaussians, read from any storage type and placed on the output grid.
//
// The exponent of sample (x, y) is written as o * 2^-(u^2 + v^2), with u = u0 + ux * X and v = v0 + vx * X + vy * Y,
// X = x - origin_x and Y = y - origin_y. The square factor of the inverse covariance keeps the digits that its entries
// would lose for a needle, and the origin, the grid point nearest the centre, those that a large canvas would.
#pragma once

#include "../splat.h"
#include "convert.h"
#include "simd.h"

namespace gsdd::cpu::GSDD_ISA {

constexpr int kBlock = 256;
constexpr int kMaxParameters = kShapeParameters + kMaxChannels;
// Narrowest standard deviation, in pixels, at which one evaluation stands for a pixel's samples: the fourth
// cumulant that a Gaussian of the same variance lacks is then worth 1.3e-4 of alpha.
constexpr double kWideVariance = 4.0;

// One frame (u, v) of a Gaussian.
struct alignas(64) Frames {
  float u0[kBlock], ux[kBlock], v0[kBlock], vx[kBlock], vy[kBlock], opacity[kBlock];
};

struct alignas(64) Block {
  int count;
  float raw[kMaxParameters][kBlock];
  Frames sample;  // of a sample point
  Frames pixel;   // of the mean of a pixel's samples, where the Gaussian is wide
  float origin_x[kBlock], origin_y[kBlock];
  float level[kBlock];  // u^2 + v^2 at which alpha falls below the threshold; < 0: nothing is drawn
  float top[kBlock];    // u at the ellipse's largest y, in units of its radius
  float sample_step[kBlock], pixel_step[kBlock];  // factor of a ratio from one tile to the next, less 1 unless narrow
  float narrow[kBlock];                           // 1 where that factor is small
  float wide[kBlock];                             // 1 where `pixel` may be used
  int first_column[kBlock], last_column[kBlock];  // pixels touched, inclusive; first > last: none
  int first_row[kBlock], last_row[kBlock];
};

// Rows (fractions of pixels) between which columns x_a .. x_b of an ellipse lie.
struct Rows {
  float first, last;                // touched by any of the columns
  float first_inside, last_inside;  // inside it in all of the columns
};

// The ellipse of Gaussian i, with u^2 + v^2 raised by `margin` for touching and lowered by it for lying inside.
GSDD_INLINE Rows ellipse_rows(const Block& block, int i, float x_a, float x_b) {
  constexpr float kMargin = 0.004f;
  const Frames& f = block.sample;
  const float u0 = f.u0[i], ux = f.ux[i], level = block.level[i];
  const float radius = __builtin_sqrtf(level + kMargin);
  const float a = x_a - block.origin_x[i], b = x_b - block.origin_x[i];
  const float x_top = maximum(a, minimum(b, (block.top[i] * radius - u0) / ux));
  const float x_bottom = maximum(a, minimum(b, (-block.top[i] * radius - u0) / ux));
  const Vec4 x = {x_top, x_bottom, a, b};
  const Vec4 u = u0 + ux * x;
  const Vec4 rest = Vec4{level + kMargin, level + kMargin, level - kMargin, level - kMargin} - u * u;
  Vec4 half;
  for (int k = 0; k < 4; ++k) half[k] = __builtin_sqrtf(rest[k] > 0.0f ? rest[k] : 0.0f);
  const float scale = 1.0f / f.vy[i];
  const Vec4 middle = -(f.v0[i] + f.vx[i] * x);
  const Vec4 low = (middle - half) * scale + block.origin_y[i], high = (middle + half) * scale + block.origin_y[i];
  const bool inside = rest[2] > 0.0f && rest[3] > 0.0f;
  return {low[1], high[0], inside ? maximum(low[2], low[3]) : 1e30f, inside ? minimum(high[2], high[3]) : -1e30f};
}

// floor(value), clamped to [low, high]; low for NaN.
GSDD_INLINE int floor_between(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  return value >= static_cast<float>(high) ? high : static_cast<int>(value);
}

// Finds the pixels that Gaussian i may touch.
GSDD_INLINE void bound(int width, int height, int i, Block* block) {
  block->first_column[i] = block->first_row[i] = 1;
  block->last_column[i] = block->last_row[i] = 0;
  const float level = block->level[i];
  const Frames& f = block->sample;
  // Far outside, or a number that overflowed.
  if (!(level >= 0.0f) || !(__builtin_fabsf(f.u0[i]) < 1e9f) || !(__builtin_fabsf(f.v0[i]) < 1e9f)) return;
  const float radius = __builtin_sqrtf(level + 0.004f);
  const float low = block->origin_x[i] + (-radius - f.u0[i]) / f.ux[i];
  const float high = block->origin_x[i] + (radius - f.u0[i]) / f.ux[i];
  if (!(high >= 0.0f) || !(low <= static_cast<float>(width))) return;
  const float x_a = maximum(low, 0.0f), x_b = minimum(high, static_cast<float>(width));
  const Rows rows = ellipse_rows(*block, i, x_a, x_b);
  if (!(rows.last >= 0.0f) || !(rows.first <= static_cast<float>(height))) return;
  block->first_column[i] = floor_between(low, 0, width - 1);
  block->last_column[i] = floor_between(high, 0, width - 1);
  block->first_row[i] = floor_between(rows.first, 0, height - 1);
  block->last_row[i] = floor_between(rows.last, 0, height - 1);
}

template <typename Params>
GSDD_INLINE void read_block(const Params& p, int64_t first, Block* block) {
  const int parameters = kShapeParameters + p.channels;
  const int64_t base = first * parameters;
  for (int i = 0; i < block->count; ++i) {
    for (int k = 0; k < parameters; ++k)
      block->raw[k][i] = load_number(p.gaussians, p.gaussian_dtype, base + i * parameters + k);
  }
  // The tail is computed with the rest and drawn by nobody.
  for (int i = block->count; i < ((block->count + 15) & ~15); ++i) {
    for (int k = 0; k < parameters; ++k) block->raw[k][i] = 0.0f;
  }
}

// Places Gaussians first .. first + count of the tensor.
template <typename Params>
void place_block(const Params& p, int64_t first, int count, Block* block) {
  block->count = count;
  read_block(p, first, block);
  const int padded = (count + 15) & ~15;
  const int parameters = kShapeParameters + p.channels;
  const double scale_x = static_cast<double>(p.width) / p.native_width;
  const double scale_y = static_cast<double>(p.height) / p.native_height;
  const double width = p.width, height = p.height;
  // u^2 + v^2 is in powers of two: sigma / ln 2.
  constexpr double kUnit = 0.84932180028801904272;  // sqrt(0.5 / ln 2)
  constexpr double kVariance = 1.0 / 12.0;
  const double spread = (1.0 - 1.0 / (static_cast<double>(p.supersample) * p.supersample)) / 12.0;
  const float* opacity = block->raw[parameters - 1];

  for (int i = 0; i < padded; i += kLanes) {
    store(block->level + i, log2_rough(load(opacity + i) * 255.0f));
  }
  for (int i = 0; i < padded; ++i) {
    float check = 0.0f;
    for (int k = 0; k < parameters; ++k) check += block->raw[k][i] * 0.0f;  // NaN unless all are finite
    block->level[i] = check == 0.0f && opacity[i] > kAlphaThreshold ? block->level[i] : -1.0f;
  }
#pragma GCC ivdep
  for (int i = 0; i < padded; ++i) {
    const double a = scale_x * (static_cast<double>(block->raw[2][i]) + 0.5);
    const double b = scale_y * static_cast<double>(block->raw[3][i]);
    const double c = scale_y * (static_cast<double>(block->raw[4][i]) + 0.5);
    const double aa = a * a, bb = b * b, cc = c * c, xy = a * b;
    const double cx = (static_cast<double>(block->raw[0][i]) + 1.0) * 0.5 * width;
    const double cy = (static_cast<double>(block->raw[1][i]) + 1.0) * 0.5 * height;
    double ox = cx < 0.0 ? 0.0 : cx, oy = cy < 0.0 ? 0.0 : cy;
    ox = ox > width ? width : ox;
    oy = oy > height ? height : oy;
    ox = static_cast<double>(static_cast<int>(ox));
    oy = static_cast<double>(static_cast<int>(oy));
    block->origin_x[i] = static_cast<float>(ox);
    block->origin_y[i] = static_cast<float>(oy);
    double determinant_of_sample = 1.0;
    for (int frame = 0; frame < 2; ++frame) {
      const double v = frame ? kVariance + spread : kVariance;
      const double xx = aa + v, yy = bb + cc + v;
      // Expanded, a sum of positive terms: a needle's determinant never cancels.
      const double determinant = aa * cc + v * (aa + bb + cc + v);
      const double q = kUnit / __builtin_sqrt(xx), r = kUnit * __builtin_sqrt(xx / determinant), k = xy / xx;
      Frames* f = frame ? &block->pixel : &block->sample;
      f->u0[i] = static_cast<float>(q * (ox - cx));
      f->ux[i] = static_cast<float>(q > 1e-18 ? q : 1e-18);
      f->v0[i] = static_cast<float>(r * ((oy - cy) - k * (ox - cx)));
      f->vx[i] = static_cast<float>(-r * k);
      f->vy[i] = static_cast<float>(r > 1e-18 ? r : 1e-18);
      if (frame == 0) {
        determinant_of_sample = determinant;
        f->opacity[i] = opacity[i];
        // tan of the direction of the ellipse's top in the (u, v) plane
        const double m = -k * r / q;
        block->top[i] = static_cast<float>(-m / __builtin_sqrt(1.0 + m * m));
        // The smaller eigenvalue of the covariance, without cancelling.
        const double half = 0.5 * (xx - yy);
        const double larger = 0.5 * (xx + yy) + __builtin_sqrt(half * half + xy * xy);
        block->wide[i] = determinant >= kWideVariance * larger && opacity[i] <= 1.0f ? 1.0f : 0.0f;
      } else {
        f->opacity[i] = opacity[i] * static_cast<float>(__builtin_sqrt(determinant_of_sample / determinant));
      }
    }
  }
  for (int i = 0; i < padded; i += kLanes) {
    const Vec a = load(block->sample.vy + i) * kTileRows, b = load(block->pixel.vy + i) * kTileRows;
    const Vec x = -2.0f * a * a, y = -2.0f * b * b, limit = vec(-1.6f);
    store(block->narrow + i, x < limit ? vec(1.0f) : vec(0.0f));
    store(block->sample_step + i, x < limit ? exp2(x) : exp2_less_1(x));
    store(block->pixel_step + i, exp2_less_1(y));
  }
  for (int i = 0; i < count; ++i) bound(p.width, p.height, i, block);
}

}  // namespace gsdd::cpu::GSDD_ISA
