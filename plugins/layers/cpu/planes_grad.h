// The gradient of a 3 x 3 convolution in its planes, of few channels: a place gathers from the nine around it.
#pragma once

#include "../layers.h"
#include "channels.h"

namespace gsdd::cpu::GSDD_ISA {

GSDD_INLINE float sum_lanes(Vec v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += v[i];
  return sum;
#endif
}

constexpr int kGathered = 4;

// to[place] for kPlaces places from (row, column) on, of one channel; the places around them lie within the map.
template <int kPlaces>
GSDD_INLINE void gather_places(const layers::PlanesGrad& p, const float* map, const float* kernel, int64_t row,
                               int64_t column, float* to) {
  const int64_t made_height = p.height + 2 * p.padding - 2, made_width = p.width + 2 * p.padding - 2;
  Vec sums[kPlaces] = {};
  for (int64_t down = 0; down < 3; ++down) {
    const int64_t from_row = row + p.padding - down;
    if (from_row < 0 || from_row >= made_height) continue;
    for (int64_t right = 0; right < 3; ++right) {
      const int64_t from_column = column + p.padding - right;
      if (kPlaces == 1 && (from_column < 0 || from_column >= made_width)) continue;
      const float* from = map + (from_row * made_width + from_column) * p.filters;
      const float* weights = kernel + (down * 3 + right) * p.filters;
      for (int64_t filter = 0; filter < p.filters; filter += kLanes) {
        const Vec weight = load(weights + filter);
        for (int place = 0; place < kPlaces; ++place) sums[place] += weight * load(from + place * p.filters + filter);
      }
    }
  }
  for (int place = 0; place < kPlaces; ++place) to[place] = sum_lanes(sums[place]);
}

GSDD_INLINE void planes_grad(const layers::PlanesGrad& p, int64_t image) {
  const int64_t made_height = p.height + 2 * p.padding - 2, made_width = p.width + 2 * p.padding - 2;
  const float* map = p.grad_map + image * made_height * made_width * p.filters;
  for (int64_t channel = 0; channel < p.channels; ++channel) {
    const float* kernel = p.kernel + channel * 9 * p.filters;
    float* to = p.grad_x + (image * p.channels + channel) * p.height * p.width;
    for (int64_t row = 0; row < p.height; ++row, to += p.width) {
      int64_t column = 0;
      while (column < p.width) {
        const bool within = column + p.padding >= 2 && column + p.padding + kGathered <= made_width;
        if (within && column + kGathered <= p.width) {
          gather_places<kGathered>(p, map, kernel, row, column, to + column);
          column += kGathered;
        } else {
          gather_places<1>(p, map, kernel, row, column, to + column);
          ++column;
        }
      }
    }
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
