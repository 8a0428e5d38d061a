// How the strips (columns of tiles) of Gaussians are drawn: lists of runs, one list for each way of drawing, so that
// each is worked off in a loop without choices.
#pragma once

#include "ellipse.h"
#include "shuffle.h"

namespace gsdd::cpu::GSDD_ISA {

// Ways to draw a run of tiles.
enum How {
  kEdge,        // by recurrence, each sample tested against the threshold
  kNarrowEdge,  // the same, for a narrow Gaussian
  kClip,        // by recurrence, each sample tested against the threshold and the limit
  kNarrowClip,  // the same, for a narrow Gaussian
  kInside,      // by recurrence, one evaluation a pixel: wide, inside the ellipse and under the limit throughout
  kDirect,      // an exponential for each sample, each tested against the threshold and the limit
  kHows
};

// Runs of one kind: tiles from .. to - 1 of the strip, drawn by Gaussian `id`. At most two of a kind for each Gaussian.
struct alignas(64) Runs {
  int count;
  // A store of whole vectors may reach past the last run.
  int id[2 * kBlock + kLanes], from[2 * kBlock + kLanes], to[2 * kBlock + kLanes];
};

// Those of the lanes in `keep` that are not empty.
GSDD_INLINE void add(Runs* runs, IntVec id, IntVec from, IntVec to, IntVec keep) {
  const Chosen c = chosen(keep & (from < to));
  store_chosen(runs->id + runs->count, id, c);
  store_chosen(runs->from + runs->count, from, c);
  store_chosen(runs->to + runs->count, to, c);
  runs->count += c.count;
}

struct RunLists {
  Runs of[kHows];
};

GSDD_INLINE void clear(RunLists* lists) {
  for (Runs& runs : lists->of) runs.count = 0;
}

constexpr int kFewestInside = 10;  // shorter runs do not pay for their own start

// Adds the runs of kLanes extents.
GSDD_INLINE void add_runs(RunLists* lists, IntVec id, const ExtentVecs& e, IntVec live, IntVec wide, IntVec narrow,
                          int samples) {
  const IntVec chained = samples == 2 ? live & e.chained : IntVec{};
  const IntVec clips = e.clip_from < e.clip_to;
  const IntVec apart = ~clips | ((e.inside_from <= e.clip_from) & (e.clip_to <= e.inside_to));
  const IntVec gap = clips & (e.clip_to - e.clip_from);
  const IntVec split = chained & wide & apart & (e.inside_to - e.inside_from - gap >= kFewestInside);
  const IntVec whole = chained & ~split;
  const IntVec edge = (whole & ~clips) | split, clip = whole | split;
  const IntVec edge_to = split ? e.inside_from : e.to;
  const IntVec clip_from = split ? e.clip_from : e.from, clip_to = split ? e.clip_to : e.to;
  add(&lists->of[kEdge], id, e.from, edge_to, edge & ~narrow);
  add(&lists->of[kEdge], id, e.inside_to, e.to, split);
  add(&lists->of[kNarrowEdge], id, e.from, edge_to, edge & narrow);
  add(&lists->of[kClip], id, clip_from, clip_to, clip & clips & ~narrow);
  add(&lists->of[kNarrowClip], id, clip_from, clip_to, clip & clips & narrow);
  add(&lists->of[kInside], id, e.inside_from, clips ? e.clip_from : e.inside_to, split);
  add(&lists->of[kInside], id, e.clip_to, e.inside_to, split & clips);
  add(&lists->of[kDirect], id, e.from, e.to, live & ~chained);
}

}  // namespace gsdd::cpu::GSDD_ISA
