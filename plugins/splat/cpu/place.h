// Places Gaussians on the output grid, kLanes at a time.
#pragma once

#include "read.h"

namespace gsdd::cpu::GSDD_ISA {

// Least variance across, in square pixels, at which one evaluation stands for a pixel's samples: the fourth cumulant
// that a Gaussian of their variance lacks is then worth 1.3e-4 of alpha.
constexpr double kWideVariance = 4.0;
// log2 of a ratio's step below which the step itself is stored, and above which the step less 1.
constexpr float kNarrowStep = -1.6f;

// The output grid, in the doubles that placing works in.
struct Canvas {
  double width, height, scale_x, scale_y;
  double spread;  // variance of a pixel's samples about its centre
};

template <typename Params>
GSDD_INLINE Canvas canvas_of(const Params& p) {
  const double samples = p.supersample;
  return {static_cast<double>(p.width), static_cast<double>(p.height), static_cast<double>(p.width) / p.native_width,
          static_cast<double>(p.height) / p.native_height, (1.0 - 1.0 / (samples * samples)) * kPixelVariance};
}

// Which Gaussians draw, and up to which u^2 + v^2.
template <int C>
GSDD_INLINE void find_levels(int i, Block* block) {
  constexpr int kParameters = kShapeParameters + C;
  Vec zero{};  // NaN unless every number is finite
  for (int k = 0; k < kParameters; ++k) zero += load(block->raw[k] + i) * 0.0f;
  const Vec opacity = load(block->raw[kColor + C] + i);
  const auto drawn = (opacity > vec(kAlphaThreshold)) & (zero == Vec{});
  const Vec log2 = log2_rough(drawn ? opacity : vec(1.0f));
  store(block->level + i, drawn ? log2 + kThresholdBits : vec(-1.0f));
  store(block->clip + i, log2);
}

// One frame of kLanes Gaussians, an array for each of its first numbers.
struct alignas(64) FrameLanes {
  float u0[kLanes], ux[kLanes], v0[kLanes], vx[kLanes], vy[kLanes], opacity[kLanes];
};

struct Covariance {
  double xx, xy, yy, determinant;
};

// The lower Cholesky factor [[a, 0], [b, c]] of Gaussian i on the output grid, the covariance of its samples, and that
// of the mean of a pixel's.
struct Shape {
  double a, b, c;
  Covariance sample, pixel;
};

GSDD_INLINE Covariance covariance(double aa, double xy, double bb_cc, double ac, double variance) {
  // The determinant is a sum of positive terms: a needle's never cancels.
  return {aa + variance, xy, bb_cc + variance, ac + variance * (aa + bb_cc + variance)};
}

GSDD_INLINE Shape shape_of(const Canvas& canvas, const Block& block, int i) {
  const double a = canvas.scale_x * (static_cast<double>(block.raw[kL11][i]) + kCholeskyBias);
  const double b = canvas.scale_y * static_cast<double>(block.raw[kL21][i]);
  const double c = canvas.scale_y * (static_cast<double>(block.raw[kL22][i]) + kCholeskyBias);
  const double aa = a * a, bb_cc = b * b + c * c, xy = a * b, ac = aa * c * c;
  return {a, b, c, covariance(aa, xy, bb_cc, ac, kPixelVariance),
          covariance(aa, xy, bb_cc, ac, kPixelVariance + canvas.spread)};
}

// What a frame needs of a covariance: few of the slow operations, and no overflow up to parameters of 3e38.
struct Factors {
  double per_deviation;  // 1 / sqrt(xx)
  double per_area;       // 1 / sqrt(determinant)
  double across;         // sqrt(xx / determinant)
  double slope;          // xy / xx
};

GSDD_INLINE Factors factors(const Covariance& s) {
  const double deviation = __builtin_sqrt(s.xx), area = __builtin_sqrt(s.determinant), w = 1.0 / (deviation * area);
  const double per_deviation = w * area, per_area = w * deviation;
  return {per_deviation, per_area, deviation * per_area, s.xy * per_deviation * per_deviation};
}

// Sets lane j's frame, its centre at (dx, dy) from the origin.
GSDD_INLINE void set_frame(FrameLanes* f, int j, const Factors& s, double dx, double dy) {
  constexpr double kUnit = 0.84932180028801904272;  // sqrt(0.5 / ln 2): u^2 + v^2 counts halvings
  const double q = kUnit * s.per_deviation, r = kUnit * s.across;
  f->u0[j] = static_cast<float>(-q * dx);
  f->ux[j] = static_cast<float>(q > 1e-18 ? q : 1e-18);
  f->v0[j] = static_cast<float>(r * (s.slope * dx - dy));
  f->vx[j] = static_cast<float>(-r * s.slope);
  f->vy[j] = static_cast<float>(r > 1e-18 ? r : 1e-18);
}

// value, moved into [low, high].
GSDD_INLINE double between(double value, double low, double high) {
  value = value > low ? value : low;
  return value < high ? value : high;
}

GSDD_INLINE void place_one(const Canvas& canvas, int i, int j, const float* opacity, Block* block, FrameLanes* samples,
                           FrameLanes* pixels) {
  constexpr double kTwiceLn2 = 1.3862943611198906188;
  const double x = (static_cast<double>(block->raw[kX][i]) + 1.0) * 0.5 * canvas.width;
  const double y = (static_cast<double>(block->raw[kY][i]) + 1.0) * 0.5 * canvas.height;
  const double origin_x = static_cast<int>(between(x, 0.0, canvas.width));
  const double origin_y = static_cast<int>(between(y, 0.0, canvas.height));
  block->origin_x[i] = static_cast<float>(origin_x);
  block->origin_y[i] = static_cast<float>(origin_y);

  const Shape shape = shape_of(canvas, *block, i);
  const Covariance &sample = shape.sample, &pixel = shape.pixel;
  const Factors of_sample = factors(sample), of_pixel = factors(pixel);
  set_frame(samples, j, of_sample, x - origin_x, y - origin_y);
  set_frame(pixels, j, of_pixel, x - origin_x, y - origin_y);
  samples->opacity[j] = opacity[i];
  pixels->opacity[j] = opacity[i] * static_cast<float>(sample.determinant * of_sample.per_area * of_pixel.per_area);

  const double deviation_x = sample.xx * of_sample.per_deviation, deviation_y = __builtin_sqrt(sample.yy);
  block->top[i] = static_cast<float>(sample.xy * of_sample.per_deviation / deviation_y);
  // Both eigenvalues of the covariance less kWideVariance are positive.
  block->wide[i] =
      -static_cast<int>((sample.xx > kWideVariance) &
                        ((sample.xx - kWideVariance) * (sample.yy - kWideVariance) >= sample.xy * sample.xy));

  // The box around the ellipse, on the canvas.
  const double level = static_cast<double>(block->level[i]);
  const double reach = __builtin_sqrt(kTwiceLn2 * (level > 0.0 ? level : 0.0) + 0.01);
  const double reach_x = deviation_x * reach, reach_y = deviation_y * reach;
  const bool drawn = (level >= 0.0) & (x + reach_x >= 0.0) & (x - reach_x <= canvas.width) & (y + reach_y >= 0.0) &
                     (y - reach_y <= canvas.height) & (__builtin_fabsf(samples->v0[j]) < 1e9f);
  block->first_column[i] = static_cast<int>(between(x - reach_x, 0.0, canvas.width - 1.0));
  block->first_row[i] = static_cast<int>(between(y - reach_y, 0.0, canvas.height - 1.0));
  block->last_column[i] = drawn ? static_cast<int>(between(x + reach_x, 0.0, canvas.width - 1.0)) : -1;
  block->last_row[i] = drawn ? static_cast<int>(between(y + reach_y, 0.0, canvas.height - 1.0)) : -1;
}

// Writes the frames of Gaussians i .. i + kLanes - 1, and what the ellipse takes from them.
template <int C>
GSDD_INLINE void put_frames(int i, const FrameLanes& samples, const FrameLanes& pixels, float weight, Block* block) {
  const Vec ux = load(samples.ux), vx = load(samples.vx), vy = load(samples.vy);
  const Vec a = vy * static_cast<float>(kTileRows), x = -2.0f * a * a;
  const Vec b = load(pixels.vy) * static_cast<float>(kTileRows);
  const auto narrow = x < vec(kNarrowStep);
  Vec sample[kFrameNumbers] = {load(samples.u0),
                               ux,
                               load(samples.v0),
                               vx,
                               vy,
                               load(samples.opacity),
                               narrow ? exp2(x) : exp2_less_1(x),
                               exp2(-0.5f * vx * vy),
                               exp2(-a * vy),
                               exp2(-a * vx),
                               load(block->origin_x + i),
                               load(block->origin_y + i)};
  Vec pixel[kFrameNumbers] = {load(pixels.u0),
                              load(pixels.ux),
                              load(pixels.v0),
                              load(pixels.vx),
                              load(pixels.vy),
                              load(pixels.opacity),
                              exp2_less_1(-2.0f * b * b),
                              Vec{},
                              Vec{},
                              Vec{},
                              load(block->origin_x + i),
                              load(block->origin_y + i)};
  store(block->u0 + i, sample[0]);
  store(block->ux + i, ux);
  store(block->v0 + i, sample[2]);
  store(block->vx + i, vx);
  store(block->vy + i, vy);
  store(block->per_u + i, 1.0f / ux);
  store(block->per_v + i, 1.0f / vy);
  store(block->narrow + i, (IntVec)narrow);
  for (int c = 0; c < C; ++c) {
    pixel[kFirstColor + c] = load(block->raw[kColor + c] + i);
    sample[kFirstColor + c] = pixel[kFirstColor + c] * weight;
  }
  store_transposed<kFrameNumbers>(sample, &block->sample[i].u0);
  store_transposed<kFrameNumbers>(pixel, &block->pixel[i].u0);
}

// Places the Gaussians whose numbers a block holds.
template <int C, typename Params>
__attribute__((noinline)) void place_numbers(const Params& p, Block* block) {
  // The tail is placed with the rest and drawn by nobody.
  for (int i = block->count; i < padded(block->count); ++i) {
    for (int k = 0; k < kShapeParameters + C; ++k) block->raw[k][i] = 0.0f;
  }
  const Canvas canvas = canvas_of(p);
  const float weight = 1.0f / static_cast<float>(p.supersample * p.supersample);
  for (int i = 0; i < padded(block->count); i += kLanes) {
    FrameLanes samples, pixels;
    find_levels<C>(i, block);
    for (int j = 0; j < kLanes; ++j) {
      place_one(canvas, i + j, j, block->raw[kColor + C], block, &samples, &pixels);
    }
    put_frames<C>(i, samples, pixels, weight, block);
  }
}

// Places Gaussians first .. first + count of the tensor.
template <int C, typename Params>
GSDD_INLINE void place_block(const Params& p, int64_t first, int count, Block* block) {
  block->count = count;
  read_numbers<C>(p, first, count, 0, block);
  place_numbers<C>(p, block);
}

}  // namespace gsdd::cpu::GSDD_ISA
