// The strips (columns of tiles) that an image is worked off in, by forward and backward alike.
#pragma once

#include "chain.h"
#include "panel.h"
#include "place.h"
#include "runs.h"

namespace gsdd::cpu::GSDD_ISA {

// kTileColumns columns and at most kPanelRows rows of an image, from its upper left pixel on.
struct StripPlace {
  int column, row;
  int rows;
};

// Which Gaussians of a block a strip holds, and how.
struct StripWork {
  int touching[kBlock + kLanes];
  RunLists lists;
};

// Lists the Gaussians whose box meets a strip; returns how many.
GSDD_INLINE int list_touching(const Block& block, const StripPlace& strip, int* touching) {
  int count = 0;
  for (int i = 0; i < block.count; i += kLanes) {
    const IntVec meets = (load(block.first_column + i) < strip.column + kTileColumns) &
                         (load(block.last_column + i) >= strip.column) &
                         (load(block.first_row + i) < strip.row + strip.rows) & (load(block.last_row + i) >= strip.row);
    const Chosen c = chosen(meets);
    store_chosen(touching + count, count_from(i), c);
    count += c.count;
  }
  return count;
}

// Lists the runs of a strip; returns whether anything meets it.
GSDD_INLINE bool list_runs(const Block& block, const StripPlace& strip, int samples, StripWork* work) {
  const int count = list_touching(block, strip, work->touching);
  const float sample_margin = 0.5f / static_cast<float>(samples);
  clear(&work->lists);
  for (int k = 0; k < count; k += kLanes) {
    const IntVec live = count_from(k) < count;
    const IntVec id = load(work->touching + k) & live;
    const ExtentVecs e = extents(gather_ellipses(block, id), strip.column, strip.row, strip.rows, sample_margin);
    add_runs(&work->lists, id, e, live, gather(block.wide, id), gather(block.narrow, id), samples);
  }
  return count > 0;
}

// Starts the chains of some runs with `start`, then hands each run to `use`; `aside` is called as often.
template <typename Chain, typename Start, typename Use, typename Aside>
GSDD_INLINE void for_chains(const Frame* frames, const Runs& runs, const StripPlace& strip, Start start, Use use,
                            Aside aside) {
  Chain chains[kAhead];
  for (int first = 0; first < runs.count; first += kAhead) {
    const int count = minimum(kAhead, runs.count - first);
    for (int k = 0; k < count; ++k) {
      const Frame& f = frames[runs.id[first + k]];
      chains[k] = start(f, first_x(f, strip.column), first_y(f, strip.row + runs.from[first + k] * kTileRows));
    }
    for (int k = 0; k < count; ++k) {
      const int i = runs.id[first + k], from = runs.from[first + k];
      use(frames[i], i, from, runs.to[first + k] - from, chains[k]);
      aside();
    }
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
