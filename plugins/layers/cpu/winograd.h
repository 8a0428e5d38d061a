// The ways to and from Winograd's products, for one vector of channels of one tile.
#pragma once

#include "../layers.h"
#include "channels.h"

namespace gsdd::cpu::GSDD_ISA {

constexpr int kTile = 4, kRead = 6;

// The transposed B of arXiv 1509.09308 times six numbers that lie `step` apart.
GSDD_INLINE void read_six(Vec* d, int step) {
  const Vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const Vec even = d4 - 4 * d2, odd = d3 - 4 * d1, near = d4 - d2, far = 2 * (d3 - d1);
  d[0] = 4 * d0 - 5 * d2 + d4;
  d[step] = even + odd;
  d[2 * step] = even - odd;
  d[3 * step] = near + far;
  d[4 * step] = near - far;
  d[5 * step] = 4 * d1 - 5 * d3 + d5;
}

// The transposed A times six numbers: four.
GSDD_INLINE void write_four(Vec* m, int step) {
  const Vec sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
  const Vec far_sum = m[3 * step] + m[4 * step], far_difference = m[3 * step] - m[4 * step];
  const Vec last = m[5 * step];
  m[0] += sum + far_sum;
  m[step] = difference + 2 * far_difference;
  m[2 * step] = sum + 4 * far_sum;
  m[3 * step] = difference + 8 * far_difference + last;
}

struct TilePlace {
  int64_t image, row, column;
};
GSDD_INLINE TilePlace place_of(const layers::Winograd& p, int64_t tile) {
  const int64_t across = (p.width + kTile - 1) / kTile, in_image = (p.height + kTile - 1) / kTile * across,
                within = tile % in_image;
  return {tile / in_image, within / across * kTile, within % across * kTile};
}

template <typename Access>
GSDD_INLINE void tile_read(const layers::Winograd& p, const Access access, int64_t tile, int64_t channel) {
  const TilePlace at = place_of(p, tile);
  const float* map = p.from + at.image * p.height * p.width * p.channels + channel;
  Vec d[kRead * kRead];
  for (int down = 0; down < kRead; ++down) {
    const int64_t row = at.row + down - 1;
    for (int right = 0; right < kRead; ++right) {
      const int64_t column = at.column + right - 1;
      const bool inside = row >= 0 && row < p.height && column >= 0 && column < p.width;
      d[kRead * down + right] = inside ? access.read(map + (row * p.width + column) * p.channels).v[0] : Vec{};
    }
  }
  for (int i = 0; i < kRead; ++i) read_six(d + i, kRead);
  float* to = p.to + tile * p.channels + channel;
  for (int i = 0; i < kRead; ++i) {
    read_six(d + kRead * i, 1);
    for (int k = 0; k < kRead; ++k) access.write(to + (kRead * i + k) * p.plane, {{d[kRead * i + k]}});
  }
}

template <typename Access>
GSDD_INLINE void tile_write(const layers::Winograd& p, const Access access, int64_t tile, int64_t channel) {
  const TilePlace at = place_of(p, tile);
  const float* from = p.from + tile * p.channels + channel;
  Vec m[kRead * kRead];
  for (int i = 0; i < kRead * kRead; ++i) m[i] = access.read(from + i * p.plane).v[0];
  for (int i = 0; i < kRead; ++i) write_four(m + i, kRead);
  float* map = p.to + ((at.image * p.height + at.row) * p.width + at.column) * p.channels + channel;
  for (int down = 0; down < kTile; ++down) {
    if (at.row + down >= p.height) break;
    write_four(m + kRead * down, 1);
    for (int right = 0; right < kTile && at.column + right < p.width; ++right) {
      access.write(map + (down * p.width + right) * p.channels, {{m[kRead * down + right]}});
    }
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
