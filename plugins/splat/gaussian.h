// What one Gaussian means on the output grid, and how a gradient on that goes back to its parameters.
// Shared by host and device, so that one test on the CPU covers both.
#pragma once

#include <cmath>

#include "constants.h"

#if defined(__CUDACC__)
#define GSDD_HOST_DEVICE __host__ __device__ inline
#else
#define GSDD_HOST_DEVICE inline
#endif

namespace gsdd {

// From normalised coordinates and native pixels to the output grid.
struct Grid {
  float height, width;     // output pixels
  float scale_x, scale_y;  // output pixels per native pixel
};

// Gradient of the loss with respect to a Footprint's numbers.
struct FootprintGrad {
  float center_x, center_y;
  float conic_xx, conic_xy, conic_yy;
};

// A Gaussian on the output grid: exponent 0.5 (xx dx^2 + yy dy^2) + xy dx dy about its centre.
struct Footprint {
  float center_x, center_y;            // output pixels
  float conic_xx, conic_xy, conic_yy;  // inverse covariance, 1 / square pixels
  float reach_x, reach_y;              // half extents of the box outside which alpha < threshold; < 0: nothing drawn
};

GSDD_HOST_DEVICE bool all_finite(const float* values, int count) {
  for (int i = 0; i < count; ++i) {
    if (!(fabsf(values[i]) <= 3.402823466e+38f)) return false;
  }
  return true;
}

// The lower factor on the output grid, in double: parameters reach 3e38 in bfloat16 and are squared twice.
struct Factor {
  double a, b, c;  // [[a, 0], [b, c]]
};

GSDD_HOST_DEVICE Factor output_factor(const float* gaussian, const Grid& grid) {
  return {static_cast<double>(grid.scale_x) * (static_cast<double>(gaussian[2]) + kCholeskyBias),
          static_cast<double>(grid.scale_y) * static_cast<double>(gaussian[3]),
          static_cast<double>(grid.scale_y) * (static_cast<double>(gaussian[4]) + kCholeskyBias)};
}

struct Covariance {
  double xx, xy, yy, determinant;
};

GSDD_HOST_DEVICE Covariance covariance(const Factor& l) {
  constexpr double v = 1.0 / 12.0;
  const double aa = l.a * l.a, bb = l.b * l.b, cc = l.c * l.c;
  // Expanded so that a needle's determinant is a sum of positive terms and never cancels.
  return {aa + v, l.a * l.b, bb + cc + v, aa * cc + v * (aa + bb + cc + v)};
}

// gaussian: x, y, l11, l21, l22 in its first five places; the opacity is given apart.
GSDD_HOST_DEVICE Footprint footprint(const float* gaussian, float opacity, const Grid& grid) {
  Footprint f;
  const Covariance s = covariance(output_factor(gaussian, grid));
  f.center_x = (gaussian[0] + 1.0f) * 0.5f * grid.width;
  f.center_y = (gaussian[1] + 1.0f) * 0.5f * grid.height;
  f.conic_xx = static_cast<float>(s.yy / s.determinant);
  f.conic_xy = static_cast<float>(-s.xy / s.determinant);
  f.conic_yy = static_cast<float>(s.xx / s.determinant);
  f.reach_x = f.reach_y = -1.0f;
  if (opacity > kAlphaThreshold) {
    const float twice_sigma = 2.0f * logf(opacity / kAlphaThreshold);
    f.reach_x = sqrtf(static_cast<float>(s.xx) * twice_sigma);
    f.reach_y = sqrtf(static_cast<float>(s.yy) * twice_sigma);
  }
  return f;
}

// Writes the gradient of x, y, l11, l21, l22 to grad[0..4].
GSDD_HOST_DEVICE void footprint_backward(const float* gaussian, const Grid& grid, const FootprintGrad& g, float* grad) {
  const Factor l = output_factor(gaussian, grid);
  const Covariance s = covariance(l);
  const double mxx = s.yy / s.determinant, mxy = -s.xy / s.determinant, myy = s.xx / s.determinant;
  // dL/dSigma = -M G M with G the symmetric gradient of the inverse M.
  const double gxx = g.conic_xx, gxy = 0.5 * g.conic_xy, gyy = g.conic_yy;
  const double pxx = mxx * gxx + mxy * gxy, pxy = mxx * gxy + mxy * gyy;
  const double pyx = mxy * gxx + myy * gxy, pyy = mxy * gxy + myy * gyy;
  const double hxx = -(pxx * mxx + pxy * mxy);
  const double hxy = -(pxx * mxy + pxy * myy);
  const double hyy = -(pyx * mxy + pyy * myy);
  grad[0] = 0.5f * grid.width * g.center_x;
  grad[1] = 0.5f * grid.height * g.center_y;
  grad[2] = static_cast<float>(2.0 * grid.scale_x * (l.a * hxx + l.b * hxy));
  grad[3] = static_cast<float>(2.0 * grid.scale_y * (l.a * hxy + l.b * hyy));
  grad[4] = static_cast<float>(2.0 * grid.scale_y * (l.c * hyy));
}

}  // namespace gsdd
