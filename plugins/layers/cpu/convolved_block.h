// A 3 x 3 convolution, instance norm, ReLU and a 2 x 2 pool of image after image, in a scratch that a cache holds.
#pragma once

#include <cstring>
#include <type_traits>

#include "../layers.h"
#include "norm_relu_pool.h"
#include "winograd.h"

namespace gsdd::cpu::GSDD_ISA {

// Places side by side that one walk over the weights sums up, of two vectors of filters each: what registers hold.
constexpr int kMostPlaces = kLanes == 16 ? 8 : 4;

// to[place * filters] = sum of x[place * step] * kernel over the terms that each_term(visit) gives as visit(x, kernel).
template <int kPlaces, int kVectors, typename EachTerm>
GSDD_INLINE void sum_terms(float* to, int64_t filters, int64_t step, EachTerm&& each_term) {
  Block<kVectors> sums[kPlaces];
  each_term([&](const float* x, const float* kernel) {
    const auto weights = Whole<kVectors>{}.read(kernel);
    for (int place = 0; place < kPlaces; ++place) sums[place] = sums[place] + x[place * step] * weights;
  });
  for (int place = 0; place < kPlaces; ++place) Whole<kVectors>{}.write(to + place * filters, sums[place]);
}

// run(how many, first) for all places, kMostPlaces at a time and then fewer.
template <typename Run>
GSDD_INLINE void each_places(int64_t places, Run&& run) {
  int64_t at = 0;
  for (; at + kMostPlaces <= places; at += kMostPlaces) run(std::integral_constant<int, kMostPlaces>{}, at);
  for (; at + 2 <= places; at += 2) run(std::integral_constant<int, 2>{}, at);
  if (at < places) run(std::integral_constant<int, 1>{}, at);
}

// run(vectors, first filter); whole vectors only.
template <typename Run>
GSDD_INLINE void each_filters(int64_t filters, Run&& run) {
  int64_t at = 0;
  for (; at + 2 * kLanes <= filters; at += 2 * kLanes) run(std::integral_constant<int, 2>{}, at);
  if (at < filters) run(std::integral_constant<int, 1>{}, at);
}

// The planes of one image [channels, height, width] with zeros around them.
template <typename Params>
GSDD_INLINE void pad_planes(const Params& p, int64_t image, float* padded) {
  const int64_t border = p.padding, width = p.width + 2 * border, height = p.height + 2 * border;
  for (int64_t channel = 0; channel < p.channels; ++channel) {
    for (int64_t row = 0; row < height; ++row, padded += width) {
      const int64_t from = row - border;
      std::memset(padded, 0, static_cast<size_t>(width) * sizeof(float));
      if (from < 0 || from >= p.height) continue;
      const float* line = p.x + ((image * p.channels + channel) * p.height + from) * p.width;
      std::memcpy(padded + border, line, static_cast<size_t>(p.width) * sizeof(float));
    }
  }
}

// The map of one image by plain sums: [made height, made width, filters].
template <typename Params>
GSDD_INLINE void convolve_planes(const Params& p, const float* padded, float* map) {
  const int64_t line = p.width + 2 * p.padding, plane = line * (p.height + 2 * p.padding);
  const int64_t made_width = line - 2, made_height = p.height + 2 * p.padding - 2;
  each_filters(p.filters, [&](auto vectors, int64_t filter) {
    for (int64_t row = 0; row < made_height; ++row) {
      each_places(made_width, [&](auto places, int64_t column) {
        const float* x = padded + row * line + column;
        float* to = map + (row * made_width + column) * p.filters + filter;
        sum_terms<places.value, vectors.value>(to, p.filters, 1, [&](auto&& visit) {
          const float* kernel = p.kernel + filter;
          for (int64_t channel = 0; channel < p.channels; ++channel) {
            for (int down = 0; down < 3; ++down) {
              for (int right = 0; right < 3; ++right, kernel += p.filters) {
                visit(x + channel * plane + down * line + right, kernel);
              }
            }
          }
        });
      });
    }
  });
}

GSDD_INLINE void norm_relu_pool_map(const layers::ConvolvedBlock& p, const float* map, float* statistics,
                                    int64_t height, int64_t width, int64_t image) {
  layers::NormReluPool q;
  q.x = map, q.weight = p.weight, q.bias = p.bias, q.eps = p.eps;
  q.batch = 1, q.height = height, q.width = width, q.channels = p.filters;
  q.pooled = p.pooled + image * (height / 2) * (width / 2) * p.filters;
  q.mean = statistics, q.inverse = statistics + p.filters;
  each_block<4>(p.filters, [&](auto access, int64_t channel) { normed(q, access, 0, channel); });
}

GSDD_INLINE void planes_block(const layers::ConvolvedBlock& p, int64_t first, int64_t last, float* scratch) {
  const int64_t width = p.width + 2 * p.padding, height = p.height + 2 * p.padding;
  float* map = scratch + layers::padded_of(p);
  float* statistics = map + layers::made_of(p) * p.filters;
  for (int64_t image = first; image < last; ++image) {
    pad_planes(p, image, scratch);
    convolve_planes(p, scratch, map);
    norm_relu_pool_map(p, map, statistics, height - 2, width - 2, image);
  }
}

// The products between Winograd's tiles: of `tiles` rows of channels with the kernel, in each of its 36 places.
GSDD_INLINE void multiply_tiles(const layers::ConvolvedBlock& p, int64_t tiles, const float* spread, int64_t from_plane,
                                float* products, int64_t to_plane) {
  for (int64_t place = 0; place < kRead * kRead; ++place) {
    each_filters(p.filters, [&](auto vectors, int64_t filter) {
      each_places(tiles, [&](auto places, int64_t tile) {
        const float* x = spread + place * from_plane + tile * p.channels;
        float* to = products + place * to_plane + tile * p.filters + filter;
        sum_terms<places.value, vectors.value>(to, p.filters, p.channels, [&](auto&& visit) {
          const float* kernel = p.kernel + place * p.channels * p.filters + filter;
          for (int64_t channel = 0; channel < p.channels; ++channel) visit(x + channel, kernel + channel * p.filters);
        });
      });
    });
  }
}

GSDD_INLINE void tiles_block(const layers::ConvolvedBlock& p, int64_t first, int64_t last, float* scratch) {
  const int64_t in_image = layers::tiles_of(p), most = layers::images_at_once(p);
  const int64_t from_plane = (most * in_image + 1) * p.channels, to_plane = (most * in_image + 1) * p.filters;
  float* products = scratch + kRead * kRead * from_plane;
  float* map = products + kRead * kRead * to_plane;
  float* statistics = map + most * p.height * p.width * p.filters;
  for (int64_t begin = first; begin < last; begin += most) {
    layers::Winograd w;
    w.batch = minimum(most, last - begin), w.height = p.height, w.width = p.width;
    const int64_t tiles = w.batch * in_image;
    w.channels = p.channels, w.plane = from_plane;
    w.from = p.x + begin * p.height * p.width * p.channels, w.to = scratch;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      each_block<1>(w.channels, [&](auto access, int64_t channel) { tile_read(w, access, tile, channel); });
    }
    multiply_tiles(p, tiles, scratch, from_plane, products, to_plane);
    w.channels = p.filters, w.plane = to_plane, w.from = products, w.to = map;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      each_block<1>(w.channels, [&](auto access, int64_t channel) { tile_write(w, access, tile, channel); });
    }
    for (int64_t image = 0; image < w.batch; ++image) {
      const float* own = map + image * p.height * p.width * p.filters;
      norm_relu_pool_map(p, own, statistics, p.height, p.width, begin + image);
    }
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
