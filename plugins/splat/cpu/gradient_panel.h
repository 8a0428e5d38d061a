// The image's gradient on its way into panels.
#pragma once

#include "panel.h"
#include "shuffle.h"

namespace gsdd::cpu::GSDD_ISA {

// Brings the next panel of an image nearer, row by row, while this one is worked on: its rows lie too far apart for the
// processor to see a pattern.
struct ReadAhead {
  const float* from;
  int64_t plane, pitch;  // numbers from one channel, and one row, to the next
  int rows;              // that are left
};

// Of what follows panel k of an image.
GSDD_INLINE ReadAhead read_ahead_of(const SplatGradParams& p, int64_t image, const Panels& panels, int64_t k) {
  const int64_t plane = int64_t{p.height} * p.width;
  if (++k == panels.count) {
    k = 0;
    if (++image == p.batch) return {nullptr, 0, 0, 0};
  }
  const PanelPlace place = panel_place(panels, k, p.height, p.width);
  const float* from = static_cast<const float*>(p.grad_images) + image * plane * p.channels +
                      place.row * int64_t{p.width} + place.column;
  return {from, plane, p.width, place.rows};
}

template <int C>
GSDD_INLINE void read_ahead(ReadAhead* a) {
  if (a->rows == 0) return;
  --a->rows;
  for (int c = 0; c < C; ++c) {
    for (int j = 0; j < kPanelColumns; j += 16) __builtin_prefetch(a->from + c * a->plane + j, 0, 2);
  }
  a->from += a->pitch;
}

// Columns that one copy takes, and strips that it fills.
constexpr int kCopyStrips = kLanes / kTileColumns, kCopyColumns = kCopyStrips * kTileColumns;

// Copies the image gradient under a panel, with zeros where the image ends.
template <int C>
__attribute__((noinline)) void copy_panel(const SplatGradParams& p, const float* image, const PanelPlace& place,
                                          Panel* panel) {
  const int64_t plane = int64_t{p.height} * p.width;
  const float* corner = image + place.row * int64_t{p.width} + place.column;
  for (int r = 0; r < place.rows; r += kTileRows) {
    for (int c = 0; c < C; ++c) {
      const float* from = corner + c * plane + r * int64_t{p.width};
      float* to = panel->numbers + (r / kTileRows * C + c) * kLanes;
      for (int j = 0; j < place.columns; j += kCopyColumns, to += kCopyStrips * kStripTiles * C * kLanes) {
        const int columns = minimum(kCopyColumns, place.columns - j);
        Vec rows[kTileRows];
        for (int t = 0; t < kTileRows; ++t) {
          rows[t] = r + t < place.rows ? load_some(from + t * int64_t{p.width} + j, columns) : Vec{};
        }
#if defined(__AVX512F__)
        store(to, first_halves(rows[0], rows[1]));
        if (columns > kTileColumns) {
          store(to + kStripTiles * C * kLanes, second_halves(rows[0], rows[1]));
        }
#else
        store(to, rows[0]);
#endif
      }
    }
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
