// The part of an image that is drawn at a time: small enough for the first-level cache, and the unit that is spread
// over threads. Panels share nothing, so an image does not depend on who draws which.
#pragma once

#include "../splat.h"
#include "simd.h"

namespace gsdd::cpu::GSDD_ISA {

constexpr int kPanelColumns = 16;
constexpr int kPanelRows = 128;
constexpr int kPanelStrips = kPanelColumns / kTileColumns;
constexpr int kStripTiles = kPanelRows / kTileRows;

// Colour sums, [strip][tile][channel][lane].
struct alignas(64) Panel {
  float sums[kPanelColumns * kPanelRows * kMaxChannels];
};

struct Panels {
  int across;
  int64_t count;  // in one image
};

struct PanelPlace {
  int column, row;
  int rows;
};

GSDD_INLINE Panels panels_of(int height, int width) {
  const int across = (width + kPanelColumns - 1) / kPanelColumns, down = (height + kPanelRows - 1) / kPanelRows;
  return {across, int64_t{across} * down};
}

GSDD_INLINE PanelPlace panel_place(const Panels& panels, int64_t index, int height) {
  const int row = static_cast<int>(index / panels.across) * kPanelRows;
  return {static_cast<int>(index % panels.across) * kPanelColumns, row, minimum(kPanelRows, height - row)};
}

template <int C>
GSDD_INLINE void clear(Panel* panel, int rows) {
  const int tiles = (rows + kTileRows - 1) / kTileRows;
  for (int s = 0; s < kPanelStrips; ++s) {
    __builtin_memset(panel->sums + s * kStripTiles * C * kLanes, 0,
                     sizeof(float) * static_cast<unsigned>(tiles * C * kLanes));
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
