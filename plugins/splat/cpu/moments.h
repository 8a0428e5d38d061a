// From what a group of Gaussians gathered to the gradients of their parameters.
#pragma once

#include "block.h"
#include "gather.h"

namespace gsdd::cpu::GSDD_ISA {

// Gaussians worked on together, and their gathered numbers, field by field.
constexpr int kGroup = 16;
struct alignas(64) Totals {
  float of[kGatheredNumbers][kGroup];
};

GSDD_INLINE void turn(const Gathered* sums, Totals* totals) {
  for (int first = 0; first < kGroup; first += kLanes) {
    for (int part = 0; part < kGatheredNumbers; part += kLanes) {
      Vec v[kLanes];
      for (int i = 0; i < kLanes; ++i) v[i] = load(sums[first + i].numbers + part);
      transpose(v);
      for (int i = 0; i < kLanes; ++i) store(totals->of[part + i] + first, v[i]);
    }
  }
}

// The gradient of the loss with respect to the centre and the (symmetric) covariance.
struct ShapeGrad {
  double x, y, xx, xy, yy;
};

// d = (sample point - centre): u = unit q dx and v = unit r (dy - k dx), the frame of `covariance`.
GSDD_INLINE void add_frame(const Factors& f, const float (*m)[kGroup], int j, ShapeGrad* g) {
  const double q = f.per_deviation, r = f.across, k = f.slope;
  constexpr double kInverseUnit = 1.1774100225154746635;  // sqrt(2 ln 2)
  const double u = m[1][j] * kInverseUnit, v = m[2][j] * kInverseUnit;
  const double uu = m[3][j] * kInverseUnit * kInverseUnit, uv = m[4][j] * kInverseUnit * kInverseUnit;
  const double vv = m[5][j] * kInverseUnit * kInverseUnit;
  g->x += q * u - r * k * v;
  g->y += r * v;
  g->xx += 0.5 * (q * q * uu - 2.0 * q * r * k * uv + r * k * r * k * vv);
  g->xy += 0.5 * (q * r * uv - r * r * k * vv);
  g->yy += 0.5 * r * r * vv;
}

// The gradient of x, y, l11, l21, l22 and the opacity, for each Gaussian of a group.
struct alignas(64) ShapeGrads {
  float of[kShapeParameters][kGroup];
};

template <int C>
GSDD_INLINE void shape_gradients(const SplatGradParams& p, const Block& block, int first, const Totals& totals,
                                 ShapeGrads* grads) {
  const Canvas canvas = canvas_of(p);
  const float (*sample)[kGroup] = totals.of + kSampleMoments, (*pixel)[kGroup] = totals.of + kPixelMoments;
  for (int j = 0; j < kGroup; ++j) {
    const int i = first + j;
    const Shape shape = shape_of(canvas, block, i);
    const Factors of_sample = factors(shape.sample), of_pixel = factors(shape.pixel);
    ShapeGrad g{};
    add_frame(of_sample, sample, j, &g);
    add_frame(of_pixel, pixel, j, &g);
    // The frame's factor sqrt(det / wide_det) depends on the covariance too: half of inverse - wide inverse, written as
    // sums of positive terms.
    const double areas = of_sample.per_area * of_pixel.per_area;
    const double half = 0.5 * pixel[0][j] * canvas.spread * areas * areas;
    const double xx = shape.sample.xx, xy = shape.sample.xy, yy = shape.sample.yy;
    g.xx += half * (yy * yy + yy * canvas.spread + xy * xy);
    g.xy -= half * (xy * (xx + yy + canvas.spread));
    g.yy += half * (xx * xx + xx * canvas.spread + xy * xy);
    grads->of[kX][j] = static_cast<float>(0.5 * p.width * g.x);
    grads->of[kY][j] = static_cast<float>(0.5 * p.height * g.y);
    grads->of[kL11][j] = static_cast<float>(2.0 * canvas.scale_x * (shape.a * g.xx + shape.b * g.xy));
    grads->of[kL21][j] = static_cast<float>(2.0 * canvas.scale_y * (shape.a * g.xy + shape.b * g.yy));
    grads->of[kL22][j] = static_cast<float>(2.0 * canvas.scale_y * (shape.c * g.yy));
    grads->of[kShapeParameters - 1][j] = (sample[0][j] + pixel[0][j]) / block.raw[kColor + C][i];
  }
}

// Writes the gradients of a block's Gaussians.
template <int C>
__attribute__((noinline)) void write_gradients(const SplatGradParams& p, const Block& block, const Gathered* sums,
                                               float* gradients) {
  constexpr int kParameters = kShapeParameters + C;
  const float weight = 1.0f / static_cast<float>(p.supersample * p.supersample);
  for (int first = 0; first < block.count; first += kGroup) {
    Totals totals;
    ShapeGrads grads;
    turn(sums + first, &totals);
    shape_gradients<C>(p, block, first, totals, &grads);
    for (int j = 0; j < minimum(kGroup, block.count - first); ++j, gradients += kParameters) {
      // Nothing of what was computed for one that is not drawn need be a number.
      const bool drawn = block.first_column[first + j] <= block.last_column[first + j];
      for (int k = 0; k < kColor; ++k) gradients[k] = drawn ? grads.of[k][j] : 0.0f;
      for (int c = 0; c < C; ++c) gradients[kColor + c] = drawn ? totals.of[kColors + c][j] * weight : 0.0f;
      gradients[kColor + C] = drawn ? grads.of[kShapeParameters - 1][j] : 0.0f;
    }
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
