// From a finished panel to the caller's image: normalised, converted, laid out.
#pragma once

#include "convert.h"
#include "panel.h"

namespace gsdd::cpu::GSDD_ISA {

// Output from this size on goes around the caches: it would push everything else out of them.
constexpr int64_t kStreamBytes = int64_t{1} << 20;

// kPanelColumns columns of one row of a panel and channel.
constexpr int kRowVecs = kPanelColumns / kLanes;
struct RowVecs {
  Vec part[kRowVecs];
};

template <int C>
GSDD_INLINE RowVecs read_row(const Panel& panel, int row, int c) {
  RowVecs out;
#if defined(__AVX512F__)
  const float* tile = panel.sums + (row / 2 * C + c) * kLanes + row % 2 * 8;
  out.part[0] = (Vec)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(tile)),
                                        _mm256_loadu_ps(tile + kStripTiles * C * kLanes), 1);
#else
  for (int s = 0; s < kPanelStrips; ++s) {
    out.part[s] = load(panel.sums + ((s * kStripTiles + row) * C + c) * kLanes);
  }
#endif
  return out;
}

GSDD_INLINE void write_row(float* to, const RowVecs& row, bool streamed) {
  for (int k = 0; k < kRowVecs; ++k) {
    if (streamed) {
      stream(to + k * kLanes, row.part[k]);
    } else {
      store(to + k * kLanes, row.part[k]);
    }
  }
}

template <DType kType>
GSDD_INLINE void convert_row(const float* from, uint16_t* to) {
  for (int j = 0; j < kPanelColumns; ++j)
    to[j] = kType == DType::kBFloat16 ? to_bfloat16(from[j]) : to_float16(from[j]);
}

// Writes `columns` pixels of C channels, [channel][kPanelColumns], to the image at `pixel`.
template <int C, typename Number>
GSDD_INLINE void scatter_row(const Number (*values)[kPanelColumns], const SplatParams& p, int64_t image, int64_t pixel,
                             int columns) {
  const int64_t plane = int64_t{p.height} * p.width;
  Number* to = static_cast<Number*>(p.images) + image * plane * C;
  if (p.channels_last) {
    Number mixed[C * kPanelColumns];
    for (int j = 0; j < kPanelColumns; ++j) {
      for (int c = 0; c < C; ++c) mixed[j * C + c] = values[c][j];
    }
    if (columns == kPanelColumns) {
      __builtin_memcpy(to + pixel * C, mixed, sizeof mixed);
    } else {
      for (int j = 0; j < columns * C; ++j) to[pixel * C + j] = mixed[j];
    }
    return;
  }
  for (int c = 0; c < C; ++c) {
    if (columns == kPanelColumns) {
      __builtin_memcpy(to + c * plane + pixel, values[c], sizeof values[c]);
    } else {
      for (int j = 0; j < columns; ++j) to[c * plane + pixel + j] = values[c][j];
    }
  }
}

template <int C>
__attribute__((noinline)) void finish(const SplatParams& p, int64_t image, const PanelPlace& place,
                                      const Panel& panel) {
  const int columns = minimum(kPanelColumns, p.width - place.column);
  const int64_t plane = int64_t{p.height} * p.width;
  Vec mean[C], scale[C];
  for (int c = 0; c < C; ++c) {
    mean[c] = vec(p.mean ? p.mean[c] : 0.0f);
    scale[c] = vec(p.inverse_std ? p.inverse_std[c] : 1.0f);
  }
  const bool direct = p.image_dtype == DType::kFloat32 && !p.channels_last && columns == kPanelColumns;
  const bool streamed = p.width % kPanelColumns == 0 && reinterpret_cast<uintptr_t>(p.images) % 64 == 0 &&
                        p.batch * plane * C * 4 >= kStreamBytes;
  for (int row = 0; row < place.rows; ++row) {
    const int64_t pixel = (place.row + row) * int64_t{p.width} + place.column;
    alignas(64) float values[C][kPanelColumns];
    for (int c = 0; c < C; ++c) {
      RowVecs v = read_row<C>(panel, row, c);
      for (int k = 0; k < kRowVecs; ++k) v.part[k] = (v.part[k] - mean[c]) * scale[c];
      if (direct) {
        write_row(static_cast<float*>(p.images) + (image * C + c) * plane + pixel, v, streamed);
      } else {
        write_row(values[c], v, false);
      }
    }
    if (direct) continue;
    if (p.image_dtype == DType::kFloat32) {
      scatter_row<C>(values, p, image, pixel, columns);
      continue;
    }
    uint16_t halves[C][kPanelColumns];
    for (int c = 0; c < C; ++c) {
      if (p.image_dtype == DType::kBFloat16) {
        convert_row<DType::kBFloat16>(values[c], halves[c]);
      } else {
        convert_row<DType::kFloat16>(values[c], halves[c]);
      }
    }
    scatter_row<C>(halves, p, image, pixel, columns);
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
