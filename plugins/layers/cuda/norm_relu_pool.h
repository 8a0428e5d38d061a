// Instance norm, ReLU and a 2 x 2 average pool of planes, a warp each: a plane comes from memory once, and what is left
// of it goes there, where a framework's own layers read and write it five times.
#pragma once

#include <cmath>
#include <cstdint>

#include "../../splat/cuda/simt.h"
#include "../layers.h"

namespace gsdd::cuda::planes {

inline constexpr int kLanes = 32;
inline constexpr int kPlanesOfABlock = 8;

// Blocks of a launch over the planes of `p`.
template <typename Params>
inline int64_t blocks_for(const Params& p) {
  return (p.batch * p.channels + kPlanesOfABlock - 1) / kPlanesOfABlock;
}

// The same sum in every lane, in one order.
GSDD_DEVICE float warp_sum(float value) {
  for (int mask = kLanes / 2; mask > 0; mask /= 2) value += simt::shuffle_xor(value, mask);
  return value;
}

// The plane of the calling warp, or the number of planes where there is none for it; all of its lanes get the same.
template <typename Params>
GSDD_DEVICE int64_t own_plane(const Params& p) {
  const int64_t planes = p.batch * p.channels;
  const int64_t plane = int64_t{simt::block_index()} * kPlanesOfABlock + simt::thread_index() / kLanes;
  return plane < planes ? plane : planes;
}

// Numbers of a plane are counted in 32 bits.
template <typename Params>
inline bool too_large(const Params& p) {
  return p.height * p.width > INT32_MAX / 2 || blocks_for(p) > INT32_MAX;
}

// Where the four numbers of pooled place `cell` lie: the upper left one; the others are beside and a row below.
GSDD_DEVICE int corner(int cell, int width) {
  const int half = width / 2, row = cell / half;
  return row * 2 * width + (cell - row * half) * 2;
}

GSDD_DEVICE float at_least_zero(float value) { return value > 0 ? value : 0; }

GSDD_DEVICE void norm_relu_pool_plane(const layers::NormReluPool& p) {
  const int64_t plane = own_plane(p);
  if (plane == p.batch * p.channels) return;
  const int width = static_cast<int>(p.width), places = static_cast<int>(p.height) * width;
  const int lane = static_cast<int>(simt::thread_index() % kLanes);
  const float* x = p.x + plane * places;
  const float part = 1 / static_cast<float>(places);
  float sum = 0;
  for (int place = lane; place < places; place += kLanes) sum += simt::load(x + place);
  const float mean = part * warp_sum(sum);
  float squares = 0;
  for (int place = lane; place < places; place += kLanes) {
    const float off = simt::load(x + place) - mean;
    squares += off * off;
  }
  const float inverse = 1 / sqrtf(part * warp_sum(squares) + p.eps);
  if (lane == 0) {
    p.mean[plane] = mean;
    p.inverse[plane] = inverse;
  }
  const float scale = inverse * simt::load(p.weight + plane % p.channels);
  const float bias = simt::load(p.bias + plane % p.channels);
  float* pooled = p.pooled + plane * (places / 4);
  for (int cell = lane; cell < places / 4; cell += kLanes) {
    const float* left = x + corner(cell, width);
    const float* below = left + width;
    const auto shown = [&](const float* at) { return at_least_zero((simt::load(at) - mean) * scale + bias); };
    pooled[cell] = 0.25f * ((shown(left) + shown(left + 1)) + (shown(below) + shown(below + 1)));
  }
}

GSDD_DEVICE void norm_relu_pool_plane_grad(const layers::NormReluPoolGrad& p) {
  const int64_t plane = own_plane(p);
  if (plane == p.batch * p.channels) return;
  const int width = static_cast<int>(p.width), places = static_cast<int>(p.height) * width;
  const int lane = static_cast<int>(simt::thread_index() % kLanes);
  const float* x = p.x + plane * places;
  const float* grad = p.grad_pooled + plane * (places / 4);
  const float mean = simt::load(p.mean + plane), inverse = simt::load(p.inverse + plane);
  const float scale = inverse * simt::load(p.weight + plane % p.channels);
  const float bias = simt::load(p.bias + plane % p.channels);
  const float part = 1 / static_cast<float>(places);
  // visit(place, x less its mean, gradient behind the norm)
  const auto walk = [&](auto&& visit) {
    for (int cell = lane; cell < places / 4; cell += kLanes) {
      const float behind = 0.25f * simt::load(grad + cell);
      for (int corners = 0; corners < 4; ++corners) {
        const int place = corner(cell, width) + corners / 2 * width + corners % 2;
        const float off = simt::load(x + place) - mean;
        visit(place, off, off * scale + bias > 0 ? behind : 0.0f);
      }
    }
  };
  float sum = 0, product = 0;
  walk([&](int, float off, float inner) {
    sum += inner;
    product += inner * off;
  });
  sum = warp_sum(sum);
  product = warp_sum(product);
  if (lane == 0) {
    p.grad_bias[plane] = sum;
    p.grad_weight[plane] = product * inverse;
  }
  const float level = part * sum, slope = part * product * inverse * inverse;
  float* grad_x = p.grad_x + plane * places;
  walk([&](int place, float off, float inner) { grad_x[place] = scale * (inner - level - off * slope); });
}

}  // namespace gsdd::cuda::planes
