// From a finished panel to the caller's image: normalised, converted, laid out.
#pragma once

#include "convert.h"
#include "panel.h"
#include "shuffle.h"

namespace gsdd::cpu::GSDD_ISA {

// Output from this size on goes around the caches: it would push everything else out of them.
constexpr int64_t kStreamBytes = int64_t{1} << 20;

// `columns` columns, and what else stands in their vectors, of one row of a panel and channel.
template <int C>
GSDD_INLINE void read_row(const Panel& panel, int row, int c, int columns, Vec mean, Vec scale, float* to) {
#if defined(__AVX512F__)
  // A vector holds two rows of a tile.
  const float* tile = panel.numbers + (row / 2 * C + c) * kLanes + row % 2 * 8;
  for (int j = 0; j < columns; j += 16, tile += 2 * kStripTiles * C * kLanes) {
    const Vec v = (Vec)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(tile)),
                                          _mm256_loadu_ps(tile + kStripTiles * C * kLanes), 1);
    store(to + j, (v - mean) * scale);
  }
#else
  for (int j = 0; j < columns; j += kLanes) {
    const Vec v = load(panel.numbers + ((j / kLanes * kStripTiles + row) * C + c) * kLanes);
    store(to + j, (v - mean) * scale);
  }
#endif
}

template <DType kType>
GSDD_INLINE void convert_row(const float* from, uint16_t* to) {
  for (int j = 0; j < kPanelColumns; ++j) {
    to[j] = kType == DType::kBFloat16 ? to_bfloat16(from[j]) : to_float16(from[j]);
  }
}

// Copies `count` numbers, around the caches if asked and if they are whole vectors.
template <typename Number>
GSDD_INLINE void put_numbers(Number* to, const Number* from, int count, bool streamed) {
  const unsigned bytes = static_cast<unsigned>(count) * sizeof(Number);
  if (!streamed || bytes % sizeof(Vec) != 0) {
    __builtin_memcpy(to, from, bytes);
    return;
  }
  for (unsigned k = 0; k < bytes; k += sizeof(Vec)) {
    Vec v;
    __builtin_memcpy(&v, reinterpret_cast<const char*>(from) + k, sizeof v);
    stream(reinterpret_cast<char*>(to) + k, v);
  }
}

// A finished panel on its way to the image, row by row: between the runs of the next one, so that memory writes while
// the processor draws.
template <int C>
struct Finisher {
  const SplatParams& p;
  Vec mean[C], scale[C];
  const Panel* panel = nullptr;
  int64_t image = 0;
  PanelPlace place{};
  int row = 0;    // that is written next
  bool streamed;  // past the caches: rows begin at a cache line, and the images are large

  explicit Finisher(const SplatParams& params) : p(params) {
    const int64_t size = size_of(p.image_dtype), row_bytes = p.width * size * (p.channels_last ? C : 1);
    streamed = reinterpret_cast<uintptr_t>(p.images) % 64 == 0 && row_bytes % 64 == 0 &&
               p.batch * p.height * p.width * C * size >= kStreamBytes;
    for (int c = 0; c < C; ++c) {
      mean[c] = vec(p.mean ? p.mean[c] : 0.0f);
      scale[c] = vec(p.inverse_std ? p.inverse_std[c] : 1.0f);
    }
  }
};

// Writes a row of C channels, [channel][kPanelColumns], to the image at `pixel`.
template <int C, typename Number>
GSDD_INLINE void scatter_row(const Finisher<C>& f, const Number (*values)[kPanelColumns], int64_t pixel) {
  const int64_t plane = int64_t{f.p.height} * f.p.width;
  const int columns = f.place.columns;
  Number* to = static_cast<Number*>(f.p.images) + f.image * plane * C;
  if (!f.p.channels_last) {
    for (int c = 0; c < C; ++c) put_numbers(to + c * plane + pixel, values[c], columns, f.streamed);
    return;
  }
  alignas(64) Number mixed[C * kPanelColumns];
  for (int j = 0; j < kPanelColumns; ++j) {
    for (int c = 0; c < C; ++c) mixed[j * C + c] = values[c][j];
  }
  put_numbers(to + pixel * C, mixed, columns * C, f.streamed);
}

GSDD_INLINE void write(float* to, Vec v, bool streamed) {
  if (streamed) {
    stream(to, v);
  } else {
    store(to, v);
  }
}

// One row of tiles, where the image takes whole vectors as they are.
template <int C>
GSDD_INLINE void write_vectors(const Finisher<C>& f, float* image, int64_t plane) {
  for (int c = 0; c < C; ++c, image += plane) {
    const float* tile = f.panel->numbers + (f.row / kTileRows * C + c) * kLanes;
    for (int j = 0; j < f.place.columns; j += kLanes) {
      const Vec a = (load(tile) - f.mean[c]) * f.scale[c];
      tile += kStripTiles * C * kLanes;
#if defined(__AVX512F__)
      // A vector holds two rows of a tile.
      const Vec b = (load(tile) - f.mean[c]) * f.scale[c];
      tile += kStripTiles * C * kLanes;
      write(image + j, first_halves(a, b), f.streamed);
      if (f.row + 1 < f.place.rows) {
        write(image + f.p.width + j, second_halves(a, b), f.streamed);
      }
#else
      write(image + j, a, f.streamed);
#endif
    }
  }
}

// One row of pixels, whatever the image takes.
template <int C>
GSDD_INLINE void write_numbers(const Finisher<C>& f, int row, int64_t pixel) {
  const SplatParams& p = f.p;
  alignas(64) float values[C][kPanelColumns];
  for (int c = 0; c < C; ++c) read_row<C>(*f.panel, row, c, f.place.columns, f.mean[c], f.scale[c], values[c]);
  if (p.image_dtype == DType::kFloat32) {
    scatter_row(f, values, pixel);
    return;
  }
  alignas(64) uint16_t halves[C][kPanelColumns];
  for (int c = 0; c < C; ++c) {
    if (p.image_dtype == DType::kBFloat16) {
      convert_row<DType::kBFloat16>(values[c], halves[c]);
    } else {
      convert_row<DType::kFloat16>(values[c], halves[c]);
    }
  }
  scatter_row(f, halves, pixel);
}

template <int C>
__attribute__((noinline)) void write_rows(const Finisher<C>& f) {
  const SplatParams& p = f.p;
  const int64_t plane = int64_t{p.height} * p.width;
  const int64_t pixel = (f.place.row + f.row) * int64_t{p.width} + f.place.column;
  if (p.image_dtype == DType::kFloat32 && !p.channels_last && f.place.columns % kLanes == 0) {
    write_vectors(f, static_cast<float*>(p.images) + f.image * plane * C + pixel, plane);
    return;
  }
  for (int r = 0; r < minimum(kTileRows, f.place.rows - f.row); ++r) {
    write_numbers(f, f.row + r, pixel + r * int64_t{p.width});
  }
}

// From now on the finisher writes this panel.
template <int C>
GSDD_INLINE void finish_next(Finisher<C>* f, const Panel& panel, int64_t image, const PanelPlace& place) {
  f->panel = &panel;
  f->image = image;
  f->place = place;
  f->row = 0;
}

// Writes the next rows, as many as a tile has, if any are left.
template <int C>
GSDD_INLINE void finish_rows(Finisher<C>* f) {
  if (f->row >= f->place.rows) return;
  write_rows(*f);
  f->row += kTileRows;
}

template <int C>
GSDD_INLINE void finish_rest(Finisher<C>* f) {
  while (f->row < f->place.rows) finish_rows(f);
}

}  // namespace gsdd::cpu::GSDD_ISA
