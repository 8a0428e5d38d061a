// From a finished panel to the caller's image: normalised, converted, laid out.
#pragma once

#include "convert.h"
#include "panel.h"

namespace gsdd::cpu::GSDD_ISA {

// One row of a panel, [channel][column].
template <int C>
GSDD_INLINE void read_row(const Panel& panel, int row, float (*values)[kPanelColumns]) {
  for (int s = 0; s < kPanelStrips; ++s) {
    const float* tile = panel.sums + (s * kStripTiles + row / kTileRows) * C * kLanes + row % kTileRows * kTileColumns;
    for (int c = 0; c < C; ++c) {
      __builtin_memcpy(values[c] + s * kTileColumns, tile + c * kLanes, sizeof(float) * kTileColumns);
    }
  }
}

template <int C>
void finish(const SplatParams& p, int64_t image, const PanelPlace& place, const Panel& panel) {
  const int columns = minimum(kPanelColumns, p.width - place.column);
  const int64_t plane = int64_t{p.height} * p.width;
  alignas(64) float values[C][kPanelColumns];
  float mean[C], scale[C];
  for (int c = 0; c < C; ++c) {
    mean[c] = p.mean ? p.mean[c] : 0.0f;
    scale[c] = p.inverse_std ? p.inverse_std[c] : 1.0f;
  }
  for (int row = 0; row < place.rows; ++row) {
    read_row<C>(panel, row, values);
    for (int c = 0; c < C; ++c) {
      for (int j = 0; j < kPanelColumns; ++j) values[c][j] = (values[c][j] - mean[c]) * scale[c];
    }
    const int64_t pixel = image * plane * C + (place.row + row) * int64_t{p.width} * (p.channels_last ? C : 1);
    if (p.channels_last) {
      const int64_t base = pixel + int64_t{place.column} * C;
      for (int j = 0; j < columns; ++j) {
        for (int c = 0; c < C; ++c) store_number(p.images, p.image_dtype, base + j * C + c, values[c][j]);
      }
    } else if (p.image_dtype == DType::kFloat32) {
      for (int c = 0; c < C; ++c) {
        float* to = static_cast<float*>(p.images) + pixel + c * plane + place.column;
        if (columns == kPanelColumns) {
          __builtin_memcpy(to, values[c], sizeof values[c]);
        } else {
          for (int j = 0; j < columns; ++j) to[j] = values[c][j];
        }
      }
    } else {
      for (int c = 0; c < C; ++c) {
        for (int j = 0; j < columns; ++j) {
          store_number(p.images, p.image_dtype, pixel + c * plane + place.column + j, values[c][j]);
        }
      }
    }
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
