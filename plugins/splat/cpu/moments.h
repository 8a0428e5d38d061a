// From the moments that a Gaussian gathered to the gradient of its parameters.
#pragma once

#include "../splat.h"
#include "shapes.h"

namespace gsdd::cpu::GSDD_ISA {

// Sums over samples of w times these, where w = dL/d(ln alpha) and alpha = opacity * 2^-(u^2 + v^2).
struct Moments {
  float one, u, v, uu, uv, vv;
};

// The gradient of the loss with respect to the centre and the (symmetric) covariance.
struct ShapeGrad {
  double x, y, xx, xy, yy;
};

// d = (sample point - centre): u = unit q dx and v = unit r (dy - k dx), the frame of `covariance`.
GSDD_INLINE void add_frame(double xx, double xy, double determinant, const Moments& m, ShapeGrad* g) {
  const double q = 1.0 / __builtin_sqrt(xx), r = __builtin_sqrt(xx / determinant), k = xy / xx;
  constexpr double kInverseUnit = 1.1774100225154746635;  // sqrt(2 ln 2)
  const double u = m.u * kInverseUnit, v = m.v * kInverseUnit;
  const double uu = m.uu * kInverseUnit * kInverseUnit, uv = m.uv * kInverseUnit * kInverseUnit;
  const double vv = m.vv * kInverseUnit * kInverseUnit;
  g->x += q * u - r * k * v;
  g->y += r * v;
  g->xx += 0.5 * (q * q * uu - 2.0 * q * r * k * uv + r * k * r * k * vv);
  g->xy += 0.5 * (q * r * uv - r * r * k * vv);
  g->yy += 0.5 * r * r * vv;
}

// Writes the gradient of x, y, l11, l21, l22 and the opacity.
GSDD_INLINE void shape_gradient(const SplatGradParams& p, const Block& block, int i, const Moments& sample,
                                const Moments& pixel, float* grad) {
  constexpr double kVariance = 1.0 / 12.0;
  const double scale_x = static_cast<double>(p.width) / p.native_width;
  const double scale_y = static_cast<double>(p.height) / p.native_height;
  const double spread = (1.0 - 1.0 / (static_cast<double>(p.supersample) * p.supersample)) / 12.0;
  const double a = scale_x * (static_cast<double>(block.raw[2][i]) + 0.5);
  const double b = scale_y * static_cast<double>(block.raw[3][i]);
  const double c = scale_y * (static_cast<double>(block.raw[4][i]) + 0.5);
  const double aa = a * a, bb = b * b, cc = c * c, xy = a * b;
  const auto determinant = [=](double v) { return aa * cc + v * (aa + bb + cc + v); };
  ShapeGrad g{};
  const double det = determinant(kVariance), xx = aa + kVariance, yy = bb + cc + kVariance;
  add_frame(xx, xy, det, sample, &g);
  if (pixel.one != 0.0f || pixel.uu != 0.0f || pixel.vv != 0.0f) {
    const double wide_det = determinant(kVariance + spread);
    add_frame(xx + spread, xy, wide_det, pixel, &g);
    // The frame's factor sqrt(det / wide_det) depends on the covariance too: half of inverse - wide inverse, written as
    // sums of positive terms.
    const double half = 0.5 * pixel.one * (spread / det);
    g.xx += half * ((yy * yy + yy * spread + xy * xy) / wide_det);
    g.xy -= half * (xy * (xx + yy + spread) / wide_det);
    g.yy += half * ((xx * xx + xx * spread + xy * xy) / wide_det);
  }
  grad[0] = static_cast<float>(0.5 * p.width * g.x);
  grad[1] = static_cast<float>(0.5 * p.height * g.y);
  grad[2] = static_cast<float>(2.0 * scale_x * (a * g.xx + b * g.xy));
  grad[3] = static_cast<float>(2.0 * scale_y * (a * g.xy + b * g.yy));
  grad[4] = static_cast<float>(2.0 * scale_y * (c * g.yy));
  grad[kShapeParameters - 1 + p.channels] = (sample.one + pixel.one) / block.sample.opacity[i];
}

}  // namespace gsdd::cpu::GSDD_ISA
