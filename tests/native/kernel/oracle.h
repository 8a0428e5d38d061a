// The render specification, version 1, sample by sample in double: what the kernel test holds every kernel to.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

struct Size {
  int64_t batch, count;
  int channels, height, width, native_height, native_width, supersample;

  int parameters() const { return 6 + channels; }
  int64_t pixels() const { return int64_t{height} * width; }
};

struct Expected {
  std::vector<double> images;  // [batch, channels, height, width]
  std::vector<double> flips;   // how far samples near the threshold may move each of them
  std::vector<double> gradients;
};

// One Gaussian in double; `drawn` is false where a number is not finite.
struct Placed {
  bool drawn = true;
  double x, y, a, b, c, xx, xy, yy, determinant, opacity;
};

inline Placed place(const Size& size, const float* g) {
  Placed p;
  for (int k = 0; k < size.parameters(); ++k) p.drawn = p.drawn && std::isfinite(g[k]);
  const double sx = static_cast<double>(size.width) / size.native_width;
  const double sy = static_cast<double>(size.height) / size.native_height;
  p.x = (g[0] + 1.0) / 2 * size.width;
  p.y = (g[1] + 1.0) / 2 * size.height;
  p.a = sx * (g[2] + 0.5);
  p.b = sy * g[3];
  p.c = sy * (g[4] + 0.5);
  const double v = 1.0 / 12.0;
  p.xx = p.a * p.a + v;
  p.xy = p.a * p.b;
  p.yy = p.b * p.b + p.c * p.c + v;
  p.determinant = p.a * p.a * p.c * p.c + v * (p.a * p.a + p.b * p.b + p.c * p.c + v);
  p.opacity = g[size.parameters() - 1];
  return p;
}

// Calls visit(pixel, dx, dy, falloff) for every sample of the image.
template <typename Visit>
void for_samples(const Size& size, const Placed& p, Visit visit) {
  const int s = size.supersample;
  for (int i = 0; i < size.height * s; ++i) {
    for (int j = 0; j < size.width * s; ++j) {
      const double dx = (j + 0.5) / s - p.x, dy = (i + 0.5) / s - p.y;
      // Two squares, so that a needle's terms do not cancel.
      const double across = dy - p.xy / p.xx * dx;
      const double sigma = 0.5 * (dx * dx / p.xx + across * across * p.xx / p.determinant);
      visit(int64_t{i / s} * size.width + j / s, dx, dy, std::exp(-sigma));
    }
  }
}

inline Expected draw(const Size& size, const std::vector<float>& gaussians) {
  Expected e;
  e.images.assign(size.batch * size.channels * size.pixels(), 0.0);
  e.flips.assign(e.images.size(), 0.0);
  const double weight = 1.0 / (size.supersample * size.supersample), threshold = 1.0 / 255.0;
  for (int64_t n = 0; n < size.batch * size.count; ++n) {
    const float* g = gaussians.data() + n * size.parameters();
    const Placed p = place(size, g);
    if (!p.drawn) continue;
    double* image = e.images.data() + n / size.count * size.channels * size.pixels();
    double* flips = e.flips.data() + n / size.count * size.channels * size.pixels();
    for_samples(size, p, [&](int64_t pixel, double, double, double falloff) {
      const double alpha = p.opacity * falloff;
      const bool near = std::abs(alpha / threshold - 1.0) < 5e-4;
      for (int c = 0; c < size.channels; ++c) {
        if (alpha >= threshold) image[c * size.pixels() + pixel] += weight * std::fmin(alpha, 1.0) * g[5 + c];
        if (near) flips[c * size.pixels() + pixel] += weight * threshold * std::abs(g[5 + c]);
      }
    });
  }
  return e;
}

inline void differentiate(const Size& size, const std::vector<float>& gaussians, const std::vector<float>& grad_images,
                          Expected* e) {
  e->gradients.assign(gaussians.size(), 0.0);
  const double weight = 1.0 / (size.supersample * size.supersample), threshold = 1.0 / 255.0;
  const double sx = static_cast<double>(size.width) / size.native_width;
  const double sy = static_cast<double>(size.height) / size.native_height;
  for (int64_t n = 0; n < size.batch * size.count; ++n) {
    const float* g = gaussians.data() + n * size.parameters();
    double* grad = e->gradients.data() + n * size.parameters();
    const Placed p = place(size, g);
    if (!p.drawn) continue;
    const float* image = grad_images.data() + n / size.count * size.channels * size.pixels();
    const double mxx = p.yy / p.determinant, mxy = -p.xy / p.determinant, myy = p.xx / p.determinant;
    double hxx = 0, hxy = 0, hyy = 0;  // of the covariance
    for_samples(size, p, [&](int64_t pixel, double dx, double dy, double falloff) {
      const double alpha = p.opacity * falloff;
      if (!(alpha >= threshold)) return;
      double through = 0;
      for (int c = 0; c < size.channels; ++c) {
        const double incoming = weight * image[c * size.pixels() + pixel];
        grad[5 + c] += incoming * std::fmin(alpha, 1.0);
        through += incoming * g[5 + c];
      }
      if (alpha > 1.0) return;
      grad[5 + size.channels] += through * falloff;
      const double w = through * alpha, mx = mxx * dx + mxy * dy, my = mxy * dx + myy * dy;
      grad[0] += w * mx * size.width / 2;
      grad[1] += w * my * size.height / 2;
      hxx += w * mx * mx / 2;
      hxy += w * mx * my / 2;
      hyy += w * my * my / 2;
    });
    grad[2] = 2 * sx * (p.a * hxx + p.b * hxy);
    grad[3] = 2 * sy * (p.a * hxy + p.b * hyy);
    grad[4] = 2 * sy * p.c * hyy;
  }
}
