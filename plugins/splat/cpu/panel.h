// The part of an image that is drawn at a time, and the unit that is spread over threads. Panels share nothing, so an
// image does not depend on who draws which.
#pragma once

#include "../splat.h"
#include "simd.h"

namespace gsdd::cpu::GSDD_ISA {

// Two cache lines a row: a single one is written to memory at half the speed.
constexpr int kPanelColumns = 32;
constexpr int kPanelRows = 128;  // at most
constexpr int kStripTiles = kPanelRows / kTileRows;

// [strip][tile][channel][lane]: colour sums, or the image's gradient. One strip at a time is worked on, and stands in
// the first-level cache.
struct alignas(64) Panel {
  float numbers[kPanelColumns * kPanelRows * kMaxChannels];
};

// `columns` wide: whole strips, at most kPanelColumns. Where one panel ends decides nothing about an image's bits.
struct Panels {
  int columns, across;
  int64_t count;  // in one image
};

struct PanelPlace {
  int column, row;
  int columns, rows;
};

GSDD_INLINE Panels panels_of(int height, int width, int columns) {
  const int across = (width + columns - 1) / columns, down = (height + kPanelRows - 1) / kPanelRows;
  return {columns, across, int64_t{across} * down};
}

GSDD_INLINE PanelPlace panel_place(const Panels& panels, int64_t index, int height, int width) {
  const int column = static_cast<int>(index % panels.across) * panels.columns;
  const int row = static_cast<int>(index / panels.across) * kPanelRows;
  return {column, row, minimum(panels.columns, width - column), minimum(kPanelRows, height - row)};
}

// The tiles of strip `s`.
template <int C>
GSDD_INLINE float* strip_of(Panel* panel, int s) {
  return panel->numbers + s * kStripTiles * C * kLanes;
}

template <int C>
GSDD_INLINE void clear_strip(float* sums, int rows) {
  const int tiles = (rows + kTileRows - 1) / kTileRows;
  for (int k = 0; k < tiles * C; ++k) store(sums + k * kLanes, Vec{});
}

}  // namespace gsdd::cpu::GSDD_ISA
