// The steps of networks for every instruction set that this processor runs, over awkward numbers of channels and sides:
// against sums in double, the same bits however the work is split. Buffers are exactly as long as they must be, so that
// AddressSanitizer sees one number too many.
//
// Needs nothing but the steps. Exits 0 when all is well; otherwise prints what is not.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "../../../plugins/layers/cpu/steps.h"
#include "../../../plugins/splat/cpu/kernel.h"

namespace {

using gsdd::cpu::Steps;
using gsdd::layers::NormReluPool;
using gsdd::layers::NormReluPoolGrad;
using gsdd::layers::Winograd;

int failures = 0;

struct Numbers {
  explicit Numbers(int64_t count) : count(count), data(new float[static_cast<size_t>(count)]) {}
  float& operator[](int64_t at) { return data[static_cast<size_t>(at)]; }
  int64_t count;
  std::unique_ptr<float[]> data;
};

Numbers drawn(int64_t count, uint32_t seed) {
  Numbers numbers(count);
  for (int64_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    numbers[i] = static_cast<float>(seed >> 8) / (1 << 23) - 1;
  }
  return numbers;
}

void expect(bool right, const Steps& steps, const char* what, int64_t channels, int64_t height, int64_t width) {
  if (right) return;
  std::printf("%s: %s of %lld channels, %lld x %lld\n", steps.name, what, static_cast<long long>(channels),
              static_cast<long long>(height), static_cast<long long>(width));
  ++failures;
}

bool near(double ours, double right, double bound = 2e-5) {
  return std::fabs(ours - right) <= bound * (1 + std::fabs(right));
}

constexpr int64_t kBatch = 3;

void try_norm(const Steps& steps, int64_t channels, int64_t height, int64_t width) {
  const int64_t places = height * width, all = kBatch * places * channels, statistics = kBatch * channels;
  Numbers x = drawn(all, 1), weight = drawn(channels, 2), bias = drawn(channels, 3), grad = drawn(all / 4, 4);
  Numbers pooled(all / 4), mean(statistics), inverse(statistics);
  NormReluPool p;
  p.x = &x[0], p.weight = &weight[0], p.bias = &bias[0], p.eps = 1e-5f;
  p.batch = kBatch, p.height = height, p.width = width, p.channels = channels;
  p.pooled = &pooled[0], p.mean = &mean[0], p.inverse = &inverse[0];
  steps.norm_relu_pool(p, 0, 1);
  steps.norm_relu_pool(p, 1, kBatch);
  Numbers grad_x(all), grad_weight(statistics), grad_bias(statistics);
  NormReluPoolGrad g;
  g.grad_pooled = &grad[0], g.x = p.x, g.mean = p.mean, g.inverse = p.inverse, g.weight = p.weight, g.bias = p.bias;
  g.batch = kBatch, g.height = height, g.width = width, g.channels = channels;
  g.grad_x = &grad_x[0], g.grad_weight = &grad_weight[0], g.grad_bias = &grad_bias[0];
  steps.norm_relu_pool_backward(g, 0, 2);
  steps.norm_relu_pool_backward(g, 2, kBatch);
  bool forward = true, backward = true;
  for (int64_t image = 0; image < kBatch; ++image) {
    for (int64_t channel = 0; channel < channels; ++channel) {
      const auto at = [&](int64_t place) { return (image * places + place) * channels + channel; };
      double sum = 0, square = 0, given = 0, product = 0;
      for (int64_t place = 0; place < places; ++place) sum += x[at(place)];
      const double center = sum / static_cast<double>(places);
      for (int64_t place = 0; place < places; ++place) square += std::pow(x[at(place)] - center, 2);
      const double deviation = std::sqrt(square / static_cast<double>(places) + 1e-5);
      const auto normed = [&](int64_t place) { return (x[at(place)] - center) / deviation; };
      const auto shown = [&](int64_t place) { return std::fmax(normed(place) * weight[channel] + bias[channel], 0.0); };
      const auto quarter = [&](int64_t place) {
        return ((image * (height / 2) + place / width / 2) * (width / 2) + place % width / 2) * channels + channel;
      };
      const auto inner = [&](int64_t place) { return shown(place) > 0 ? 0.25 * grad[quarter(place)] : 0.0; };
      for (int64_t place = 0; place < places; ++place) given += inner(place), product += inner(place) * normed(place);
      for (int64_t place = 0; place < places; ++place) {
        const double right = weight[channel] / deviation *
                             (inner(place) - (given + product * normed(place)) / static_cast<double>(places));
        backward &= near(grad_x[at(place)], right);
        if (place % 2 || place / width % 2) continue;
        const double mean_of_four =
            (shown(place) + shown(place + 1) + shown(place + width) + shown(place + width + 1)) / 4;
        forward &= near(pooled[quarter(place)], mean_of_four);
      }
      backward &= near(grad_bias[image * channels + channel], given);
      backward &= near(grad_weight[image * channels + channel], product);
    }
  }
  expect(forward, steps, "norm, ReLU and pool", channels, height, width);
  expect(backward, steps, "the gradient of norm, ReLU and pool", channels, height, width);
}

// A kernel whose middle is 1 gives the map again: its transform is the outer product of these, a channel at a time.
constexpr double kMiddle[6] = {0, -4 / 24.0, 4 / 24.0, 2 / 24.0, -2 / 24.0, 0};

void try_winograd(const Steps& steps, int64_t channels, int64_t height, int64_t width) {
  const int64_t tiles = kBatch * height / 4 * width / 4, all = kBatch * height * width * channels;
  Numbers map = drawn(all, 5), spread(36 * tiles * channels), back(all);
  Winograd p;
  p.batch = kBatch, p.height = height, p.width = width, p.channels = channels, p.plane = tiles * channels;
  p.from = &map[0], p.to = &spread[0];
  steps.winograd_read(p, 0, 1);
  steps.winograd_read(p, 1, tiles);
  for (int64_t i = 0; i < spread.count; ++i) {
    const int64_t place = i / p.plane;
    spread[i] *= static_cast<float>(kMiddle[place / 6] * kMiddle[place % 6]);
  }
  p.from = &spread[0], p.to = &back[0];
  steps.winograd_write(p, 0, tiles - 1);
  steps.winograd_write(p, tiles - 1, tiles);
  bool same = true;
  for (int64_t i = 0; i < all; ++i) same &= near(back[i], map[i]);
  expect(same, steps, "there and back by Winograd's tiles", channels, height, width);
}

}  // namespace

int main() {
  const Steps* const all[] = {
#if defined(__x86_64__)
      &gsdd::cpu::avx512::kSteps, &gsdd::cpu::avx2::kSteps,
#endif
      &gsdd::cpu::baseline::kSteps};
  int tried = 0;
  for (const gsdd::cpu::Kernel* const* kernel = gsdd::cpu::supported_kernels(); *kernel; ++kernel) {
    for (const Steps* steps : all) {
      if (std::strcmp(steps->name, (*kernel)->name) != 0) continue;
      ++tried;
      for (const int64_t channels : {1, 5, 16, 17, 40, 70}) {
        for (const int64_t height : {2, 6}) try_norm(*steps, channels, height, 4);
        for (const int64_t height : {4, 12}) try_winograd(*steps, channels, height, 8);
      }
    }
  }
  if (tried == 0) std::printf("no steps were tried\n");
  std::printf("%d instruction sets, %d failures\n", tried, failures);
  return failures == 0 && tried > 0 ? 0 : 1;
}
