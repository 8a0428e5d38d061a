// Instance norm, ReLU and a 2 x 2 average pool of one block of channels: its map is read three times, from the cache.
#pragma once

#include "../layers.h"
#include "channels.h"

namespace gsdd::cpu::GSDD_ISA {

// The sum of number(place) over all places, in two chains of additions.
template <int kCount, typename Number>
GSDD_INLINE Block<kCount> sum_over(int64_t places, Number&& number) {
  Block<kCount> even, odd;
  for (int64_t place = 0; place + 2 <= places; place += 2) {
    even = even + number(place);
    odd = odd + number(place + 1);
  }
  if (places % 2 != 0) even = even + number(places - 1);
  return even + odd;
}

template <typename Access>
GSDD_INLINE void normed(const layers::NormReluPool& p, const Access access, int64_t image, int64_t channel) {
  constexpr int kCount = Access::kCount;
  const int64_t places = p.height * p.width, channels = p.channels;
  const float* x = p.x + image * places * channels + channel;
  const float part = 1 / static_cast<float>(places);
  const auto mean = part * sum_over<kCount>(places, [&](int64_t place) { return access.read(x + place * channels); });
  auto inverse = part * sum_over<kCount>(places, [&](int64_t place) {
                   const auto off = access.read(x + place * channels) - mean;
                   return off * off;
                 });
  for (Vec& v : inverse.v) {
    for (int i = 0; i < kLanes; ++i) v[i] = 1 / __builtin_sqrtf(v[i] + p.eps);
  }
  const auto scale = inverse * access.read(p.weight + channel);
  access.write(p.mean + image * channels + channel, mean);
  access.write(p.inverse + image * channels + channel, inverse);
  const auto bias = access.read(p.bias + channel);
  float* pooled = p.pooled + image * (p.height / 2) * (p.width / 2) * channels + channel;
  const auto shown = [&](const float* at) { return at_least_zero((access.read(at) - mean) * scale + bias); };
  for (int64_t row = 0; row + 2 <= p.height; row += 2) {
    const float* upper = x + row * p.width * channels;
    for (int64_t column = 0; column + 2 <= p.width; column += 2, pooled += channels) {
      const float* left = upper + column * channels;
      const float* below = left + p.width * channels;
      access.write(pooled, 0.25f * ((shown(left) + shown(left + channels)) + (shown(below) + shown(below + channels))));
    }
  }
}

template <typename Access>
GSDD_INLINE void normed_grad(const layers::NormReluPoolGrad& p, const Access access, int64_t image, int64_t channel) {
  constexpr int kCount = Access::kCount;
  const int64_t places = p.height * p.width, channels = p.channels, half = p.width / 2;
  const float* x = p.x + image * places * channels + channel;
  const float* grad = p.grad_pooled + image * places / 4 * channels + channel;
  float* grad_x = p.grad_x + image * places * channels + channel;
  const auto mean = access.read(p.mean + image * channels + channel);
  const auto inverse = access.read(p.inverse + image * channels + channel);
  const auto scale = inverse * access.read(p.weight + channel), bias = access.read(p.bias + channel);
  const float part = 1 / static_cast<float>(places);
  // visit(place, x less its mean, gradient behind the norm)
  const auto walk = [&](auto&& visit) {
    for (int64_t row = 0; row < p.height; ++row) {
      const float* behind = grad + row / 2 * half * channels;
      for (int64_t column = 0; column < p.width; ++column) {
        const int64_t place = row * p.width + column;
        const auto off = access.read(x + place * channels) - mean;
        const auto shown = off * scale + bias;
        auto inner = 0.25f * access.read(behind + column / 2 * channels);
        for (int i = 0; i < kCount; ++i) inner.v[i] = shown.v[i] > Vec{} ? inner.v[i] : Vec{};
        visit(place, off, inner);
      }
    }
  };
  Block<kCount> sum, product;
  walk([&](int64_t, const auto& off, const auto& inner) {
    sum = sum + inner;
    product = product + inner * off;
  });
  access.write(p.grad_bias + image * channels + channel, sum);
  access.write(p.grad_weight + image * channels + channel, product * inverse);
  const auto level = part * sum, slope = part * product * inverse * inverse;
  walk([&](int64_t place, const auto& off, const auto& inner) {
    access.write(grad_x + place * channels, scale * (inner - level - off * slope));
  });
}

}  // namespace gsdd::cpu::GSDD_ISA
