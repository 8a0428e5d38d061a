// Awkward inputs for the kernel test.
#pragma once

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "oracle.h"

struct Case {
  std::string name;
  Size size;
  std::vector<float> gaussians;
};

// Gaussians such as a fit makes; their numbers are rounded to bfloat16, so that every storage type holds them.
inline std::vector<float> ordinary(const Size& size, uint32_t seed) {
  std::mt19937 engine(seed);
  const auto uniform = [&](double low, double high) { return low + (high - low) * (double(engine()) / 4294967296.0); };
  const double spread =
      std::sqrt(double(size.native_height) * size.native_width / std::fmax(1.0, double(size.count))) / 2;
  std::vector<float> numbers;
  for (int64_t n = 0; n < size.batch * size.count; ++n) {
    numbers.push_back(float(uniform(-1, 1)));
    numbers.push_back(float(uniform(-1, 1)));
    numbers.push_back(float(uniform(0.1, 1.2) * spread));
    numbers.push_back(float(uniform(-1, 1) * spread));
    numbers.push_back(float(uniform(0.1, 1.2) * spread));
    for (int c = 0; c < size.channels; ++c) numbers.push_back(float(uniform(-1, 1)));
    numbers.push_back(float(uniform(0.3, 1.3)));
  }
  return numbers;
}

inline void round_to_bfloat16(std::vector<float>* numbers) {
  for (float& number : *numbers) {
    uint32_t bits;
    __builtin_memcpy(&bits, &number, 4);
    bits &= 0xffff0000u;
    __builtin_memcpy(&number, &bits, 4);
  }
}

inline std::vector<Case> cases() {
  std::vector<Case> all;
  uint32_t seed = 1;
  const auto add = [&](const std::string& name, Size size) -> Case& {
    all.push_back({name, size, ordinary(size, seed++)});
    return all.back();
  };
  // Changes parameter k of every `stride`th Gaussian.
  const auto change = [](Case& c, int k, int64_t start, int64_t stride, float value) {
    const int parameters = c.size.parameters();
    for (int64_t n = start; n < c.size.batch * c.size.count; n += stride) c.gaussians[n * parameters + k] = value;
  };
  for (int width = 1; width <= 40; ++width) add("width " + std::to_string(width), {2, 6, 3, 9, width, 9, width, 2});
  for (int channels = 1; channels <= 4; ++channels) {
    add("channels " + std::to_string(channels), {2, 12, channels, 28, 28, 28, 28, 2});
  }
  for (int samples : {1, 2, 3, 8}) {
    add("supersample " + std::to_string(samples), {2, 8, 3, 15, 18, 15, 18, samples});
  }
  add("one pixel", {5, 7, 3, 1, 1, 1, 1, 2});
  add("one row", {2, 7, 3, 1, 37, 5, 37, 2});
  add("one column", {2, 7, 3, 37, 1, 37, 5, 2});
  add("no Gaussians", {2, 0, 3, 5, 7, 5, 7, 2});
  add("no images", {0, 4, 3, 5, 7, 5, 7, 2});
  add("stretched", {2, 12, 3, 20, 45, 30, 24, 2});
  add("wide Gaussians", {1, 5, 3, 150, 60, 150, 60, 2});
  add("tall", {1, 20, 1, 300, 20, 300, 20, 2});
  add("more than a block", {1, 1100, 1, 24, 24, 96, 96, 2});
  Case& many = add("more than a block on several panels", {1, 600, 1, 140, 70, 140, 70, 2});
  change(many, 0, 5, 50, -1.2f);
  change(many, 2, 6, 50, 1e19f);
  change(many, 3, 7, 50, -3e38f);
  change(many, 6, 8, 50, 0.004f);
  change(many, 4, 9, 50, std::numeric_limits<float>::infinity());

  Case& off = add("off the canvas", {2, 30, 3, 24, 24, 24, 24, 2});
  for (size_t n = 0; n < off.gaussians.size(); n += 9) off.gaussians[n] *= 3.0f;
  change(off, 0, 0, 7, 1e30f);
  change(off, 1, 1, 7, -3e38f);

  Case& needles = add("needles", {2, 40, 3, 48, 48, 48, 48, 2});
  change(needles, 2, 0, 3, -0.5f);
  change(needles, 3, 0, 3, 30.0f);
  change(needles, 4, 0, 1, -0.5f);
  change(needles, 2, 1, 3, 25.0f);
  change(needles, 3, 1, 3, -20.0f);
  change(needles, 3, 2, 3, 0.0f);

  // As thin as can be, at every angle: what leaves a strip's columns far from where it enters them.
  Case& hairs = add("hairs", {2, 48, 3, 90, 70, 90, 70, 2});
  for (int n = 0; n < 48; ++n) {
    const double angle = 3.14159265 * n / 48, length = n % 2 ? 8 : 60;
    change(hairs, 2, n, 48, float(length * std::cos(angle) - 0.5));
    change(hairs, 3, n, 48, float(length * std::sin(angle)));
    change(hairs, 4, n, 48, n % 3 ? -0.5f : 0.1f);
  }

  Case& giants = add("giants", {2, 12, 3, 20, 24, 20, 24, 2});
  for (int k = 2; k < 5; ++k) {
    change(giants, k, k, 4, 1e4f);
    change(giants, k, k + 1, 4, -1e19f);
    change(giants, k, k + 2, 4, 3e38f);
  }
  Case& enormous = add("every parameter enormous", {1, 9, 3, 12, 12, 12, 12, 2});
  for (int k = 0; k < 5; ++k) change(enormous, k, 0, 1, k % 2 ? -3e38f : 3e38f);

  Case& opacities = add("opacities", {2, 12, 3, 20, 20, 20, 20, 2});
  const float values[] = {-3.0f, -1e-3f, 0.0f, 1e-30f, 0.0035f, 0.0045f, 0.01f, 1.0f, 1.01f, 2.0f, 9.0f, 300.0f};
  for (int n = 0; n < 12; ++n) change(opacities, 8, n, 12, values[n]);

  Case& bad = add("not finite", {2, 30, 3, 16, 16, 16, 16, 2});
  const float infinity = std::numeric_limits<float>::infinity();
  for (int k = 0; k < 9; ++k) {
    change(bad, k, 3 * k, 30, infinity);
    change(bad, k, 3 * k + 1, 30, -infinity);
    change(bad, k, 3 * k + 2, 30, std::numeric_limits<float>::quiet_NaN());
  }
  for (Case& c : all) round_to_bfloat16(&c.gaussians);
  return all;
}
