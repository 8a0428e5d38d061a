// A Gaussian on the output grid, in float32 without overflow or cancellation: what the device prepares once per
// Gaussian, how it tests an ellipse against a box, and how gradients go back to the parameters. Host and device.
//
// Consumer GPUs run double at 1/64 of float's rate. The covariance [[a^2 + v, ab], [ab, b^2 + c^2 + v]] is never
// formed. Its inverse is M^T M with M = [[m11, m12], [0, m22]]:
//   D = b^2 + c^2 + v         m22 = 1 / sqrt(D)
//   V = v + (a w)^2 / D       m11 = 1 / sqrt(V), with w^2 = c^2 + v      (the variance of x given y)
//   m12 = -m11 ab / D
// so every term is a sum of squares, and lengths are kept instead of their squares.
#pragma once

#include <cmath>

#include "../constants.h"

#if defined(__CUDACC__)
#define GSDD_HOST_DEVICE __host__ __device__ inline
#else
#define GSDD_HOST_DEVICE inline
#endif

namespace gsdd::cuda {

// From normalised coordinates and native pixels to the output grid.
struct Grid {
  float height, width;     // output pixels
  float scale_x, scale_y;  // output pixels per native pixel
};

// 2^-(u^2 + v^2) with u, v in these units is exp(-0.5 d^T Sigma^-1 d).
inline constexpr float kExponentScale = 0.84932180028801907f;   // sqrt(0.5 * log2(e))
inline constexpr float kPixelDeviation = 0.28867513459481287f;  // sqrt(kPixelVariance)
// The exponents near an ellipse's rim carry rounding errors of a long needle: tests lean to the safe side by this.
inline constexpr float kLimitMargin = 0.05f;
// A Gaussian whose inverse covariance has a trace up to this may be drawn with one evaluation a pixel: its narrowest
// standard deviation is then 2.4 pixels or more, and the mean over a pixel's samples is that of a Gaussian of
// slightly larger covariance within 6e-5.
inline constexpr float kSmoothTrace = 1.0f / 6.0f;
// Above 2^64 an opacity's exponent leaves no room for products of alphas in float32: one exponential a sample then.
inline constexpr float kMaxRunBits = 64.0f;
// Lengths beyond this are brought down by kShrink before they are combined.
inline constexpr float kHuge = 0x1p80f;
inline constexpr float kShrink = 0x1p-40f;

GSDD_HOST_DEVICE float clamp(float value, float low, float high) { return fminf(fmaxf(value, low), high); }

// Length of (x, y); y > 0.
GSDD_HOST_DEVICE float length(float x, float y) {
  const float size = fabsf(x), big = fmaxf(size, y), ratio = fminf(size, y) / big;
  return big * sqrtf(1.0f + ratio * ratio);
}

// M, and the bounded ratios that the gradient is made of.
struct Whitening {
  float m11, m12, m22;  // 1 / pixels
  float tilt;           // b / sqrt(D), -1 .. 1
  float upright;        // w / sqrt(D), 0 .. 1
  float lean;           // m11 a w / sqrt(D), -1 .. 1
  float share;          // c / w, -1 .. 1
  float core;           // w, in a unit that depends on l11, l21, l22 alone
};

// gaussian: x, y, l11, l21, l22 in its first five places. `deviation` is the square root of the prefilter's variance.
GSDD_HOST_DEVICE Whitening whitening(const float* gaussian, const Grid& grid, float deviation) {
  const float largest = fmaxf(fabsf(gaussian[2]), fmaxf(fabsf(gaussian[3]), fabsf(gaussian[4])));
  const float unit = largest > kHuge ? kShrink : 1.0f;
  const float bias = kCholeskyBias * unit, floor = deviation * unit;
  const float a = grid.scale_x * (gaussian[2] * unit + bias);
  const float b = grid.scale_y * (gaussian[3] * unit);
  const float c = grid.scale_y * (gaussian[4] * unit + bias);
  const float w = length(c, floor), root = length(b, w);
  // Beyond 1e30 the ratio no longer shows in any pixel. A ratio near 0 may be flushed to it: then a comes first.
  const float slope = clamp(a / root, -1e30f, 1e30f), upright = w / root;
  const float along = fabsf(slope) > 1e-10f ? slope * w : a * upright, width = length(along, floor);
  Whitening m;
  m.m11 = unit / width;
  m.m22 = unit / root;
  m.tilt = b / root;
  m.m12 = -(slope * m.tilt) * m.m11;
  m.upright = upright;
  m.lean = along / width;
  m.share = c / w;
  m.core = w;
  return m;
}

// sqrt(det Sigma / det Sigma') of one Gaussian under two prefilters; that determinant's root is width * root. The
// inverses of enormous lengths are flushed to 0, and stand for lengths that no prefilter changes.
GSDD_HOST_DEVICE float determinant_ratio(const Whitening& m, const Whitening& wider) {
  if (m.m11 < 1e-15f) return m.core / wider.core;  // width = |a| w / root
  return wider.m11 / m.m11 * (m.m22 > 1e-37f ? wider.m22 / m.m22 : 1.0f);
}

// (u, v) = M (p - centre) for points p given from an origin, in units of kExponentScale.
struct Ellipse {
  float bits;                // log2(opacity); -infinity where nothing is drawn
  float m11, m12, u0;        // u = m11 px + m12 py + u0
  float m22, v0;             // v = m22 py + v0
  float center_x, center_y;  // from the origin, kept finite
};

// What an opacity is in an Ellipse.
GSDD_HOST_DEVICE float bits_of(float opacity) { return opacity > kAlphaThreshold ? log2f(opacity) : -INFINITY; }

GSDD_HOST_DEVICE Ellipse place(const Whitening& m, const float* gaussian, float bits, const Grid& grid, float origin_x,
                               float origin_y) {
  const float far = fmaxf(fabsf(gaussian[0]), fabsf(gaussian[1])) > kHuge ? kShrink : 1.0f;
  const float half_width = 0.5f * grid.width, half_height = 0.5f * grid.height;
  // One rounding each: near the centre the offset is small and so exact to a fraction of its own size.
  const float dx = fmaf(-half_width, gaussian[0] * far, (origin_x - half_width) * far);
  const float dy = fmaf(-half_height, gaussian[1] * far, (origin_y - half_height) * far);
  Ellipse e;
  e.bits = bits;
  e.m11 = kExponentScale * m.m11;
  e.m12 = kExponentScale * m.m12;
  e.m22 = kExponentScale * m.m22;
  e.u0 = (e.m11 / far) * dx + (e.m12 / far) * dy;
  e.v0 = (e.m22 / far) * dy;
  e.center_x = clamp(-dx / far, -1e30f, 1e30f);
  e.center_y = clamp(-dy / far, -1e30f, 1e30f);
  return e;
}

// Largest u^2 + v^2 of a sample that is drawn; negative or NaN where none is.
GSDD_HOST_DEVICE float limit(const Ellipse& e) { return e.bits + kThresholdBits; }

// Sample points of a rectangle of pixels, its rim included, from the same origin as the Ellipse.
struct Box {
  float x0, x1, y0, y1;
};

enum Cover : int { kOutside = 0, kPartly = 1, kSmoothly = 2 };

// How a box of samples meets an ellipse: not at all; in part; or wholly and unclipped, so that no sample needs a test.
// Never kOutside where a sample is drawn, never kSmoothly where one is dropped or clipped.
GSDD_HOST_DEVICE Cover cover(const Ellipse& e, const Box& box) {
  const float most = limit(e);
  if (!(most >= 0.0f)) return kOutside;
  // The least exponent over the box lies on a side that faces the centre, or is 0.
  const float xx = e.m11 * e.m11, xy = e.m11 * e.m12, yy = e.m12 * e.m12 + e.m22 * e.m22;
  const float side_x = clamp(e.center_x, box.x0, box.x1), side_y = clamp(e.center_y, box.y0, box.y1);
  const float best_y = clamp(e.center_y - (xy / yy) * (side_x - e.center_x), box.y0, box.y1);
  const float best_x = clamp(e.center_x - (xy / xx) * (side_y - e.center_y), box.x0, box.x1);
  const float ua = e.m11 * side_x + (e.m12 * best_y + e.u0), va = e.m22 * best_y + e.v0;
  const float ub = e.m11 * best_x + (e.m12 * side_y + e.u0), vb = e.m22 * side_y + e.v0;
  const float least = fminf(ua * ua + va * va, ub * ub + vb * vb);
  if (!(least <= most * 1.002f + kLimitMargin)) return kOutside;
  // The greatest lies on a corner.
  const float top = e.m12 * box.y0 + e.u0, bottom = e.m12 * box.y1 + e.u0;
  const float left = e.m11 * box.x0, right = e.m11 * box.x1;
  const float vt = e.m22 * box.y0 + e.v0, vl = e.m22 * box.y1 + e.v0;
  const float ut = fmaxf(fabsf(left + top), fabsf(right + top));
  const float ul = fmaxf(fabsf(left + bottom), fabsf(right + bottom));
  const float greatest = fmaxf(ut * ut + vt * vt, ul * ul + vl * vl);
  const bool clipped = !(e.bits <= least * 0.998f - kLimitMargin) && e.bits > -1e-5f;
  return greatest <= most * 0.998f - kLimitMargin && !clipped ? kSmoothly : kPartly;
}

struct Span {
  float begin, end;  // from the origin; begin > end: nothing
};

// The samples at height y that may be drawn, in x.
GSDD_HOST_DEVICE Span span(const Ellipse& e, float y) {
  const float v = e.m22 * y + e.v0, rest = limit(e) * 1.002f + kLimitMargin - v * v;
  if (!(rest >= 0.0f)) return {1.0f, -1.0f};
  const float reach = sqrtf(rest), middle = e.m12 * y + e.u0;
  return {(-reach - middle) / e.m11, (reach - middle) / e.m11};
}

// Sums over a Gaussian's samples, with weight = dL/dalpha * alpha and (u, v) in units of kExponentScale.
struct Moments {
  float one, u, v, uu, uv, vv;
};

// Writes the gradient of x, y, l11, l21, l22 to grad[0..4].
GSDD_HOST_DEVICE void whitening_backward(const Whitening& m, const Moments& s, const Grid& grid, float* grad) {
  constexpr float first = 1.0f / kExponentScale, second = first * first;
  const float u = first * s.u, v = first * s.v, uu = second * s.uu, uv = second * s.uv, vv = second * s.vv;
  const float lean_upright = m.lean * m.upright, c_m12 = -m.tilt * m.lean * m.share, c_m22 = m.share * m.upright;
  grad[0] = 0.5f * grid.width * (m.m11 * u);
  grad[1] = 0.5f * grid.height * (m.m12 * u + m.m22 * v);
  // dL/dSigma = 0.5 M^T Z M with Z the second moments, and dL/dL = 2 dL/dSigma L.
  grad[2] = grid.scale_x * m.m11 * (lean_upright * uu + m.tilt * uv);
  grad[3] =
      grid.scale_y * (m.m12 * lean_upright * uu + (m.m22 * lean_upright + m.m12 * m.tilt) * uv + m.m22 * m.tilt * vv);
  grad[4] = grid.scale_y * (c_m12 * (m.m12 * uu + 2.0f * m.m22 * uv) + c_m22 * m.m22 * vv);
}

}  // namespace gsdd::cuda
