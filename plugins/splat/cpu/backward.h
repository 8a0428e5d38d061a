// Gradients: each Gaussian gathers over its own footprint, strip by strip. Nothing is saved by the forward pass and
// nothing is shared between Gaussians, so the result does not depend on who gathers which.
#pragma once

#include "gather.h"
#include "gradient_panel.h"
#include "moments.h"
#include "strips.h"

namespace gsdd::cpu::GSDD_ISA {

template <int C, bool kClip, bool kNarrow, typename Aside>
void gather_edges(const Block& block, const Runs& runs, const StripPlace& strip, const float* tiles, Gathered* sums,
                  Aside aside) {
  for_chains<Chain4>(
      block.sample, runs, strip, start4,
      [&](const Frame& f, int i, int from, int count, const Chain4& chain) {
        gather_edge<C, kClip, kNarrow>(tiles, strip, f, from, count, chain, &sums[i]);
      },
      aside);
}

template <int C, typename Aside>
void gather_insides(const Block& block, const Runs& runs, const StripPlace& strip, const float* tiles, Gathered* sums,
                    Aside aside) {
  for_chains<Chain1>(
      block.pixel, runs, strip, start1,
      [&](const Frame& f, int i, int from, int count, const Chain1& chain) {
        gather_inside<C>(tiles, strip, f, from, count, chain, &sums[i]);
      },
      aside);
}

template <int C>
void gather_directs(const Block& block, const Runs& runs, const StripPlace& strip, const float* tiles, int samples,
                    Gathered* sums) {
  for (int k = 0; k < runs.count; ++k) {
    const int i = runs.id[k], from = runs.from[k];
    gather_direct<C>(tiles, strip, block.sample[i], block.level[i], from, runs.to[k] - from, samples, &sums[i]);
  }
}

// Adds what one strip holds for a block of Gaussians.
template <int C, typename Aside>
GSDD_INLINE void gather_strip(const Block& block, const StripPlace& strip, int samples, const float* tiles,
                              StripWork* work, Gathered* sums, Aside aside) {
  if (!list_runs(block, strip, samples, work)) return;
  const Runs* runs = work->lists.of;
  gather_edges<C, false, false>(block, runs[kEdge], strip, tiles, sums, aside);
  gather_edges<C, false, true>(block, runs[kNarrowEdge], strip, tiles, sums, aside);
  gather_edges<C, true, false>(block, runs[kClip], strip, tiles, sums, aside);
  gather_edges<C, true, true>(block, runs[kNarrowClip], strip, tiles, sums, aside);
  gather_insides<C>(block, runs[kInside], strip, tiles, sums, aside);
  gather_directs<C>(block, runs[kDirect], strip, tiles, samples, sums);
}

template <int C>
__attribute__((noinline)) void backward(const SplatGradParams& p, int64_t begin, int64_t end) {
  Block block;
  StripWork work;
  Panel panel;
  Gathered sums[kBlock];
  const Panels panels = panels_of(p.height, p.width, kPanelColumns);
  for (int64_t index = begin; index < end;) {
    const int64_t image = index / p.count;
    const int64_t stop = minimum(minimum(end, (image + 1) * p.count), index + kBlock);
    const float* grad_image = static_cast<const float*>(p.grad_images) + image * p.height * p.width * C;
    place_block<C>(p, index, static_cast<int>(stop - index), &block);
    __builtin_memset(sums, 0, sizeof(Gathered) * static_cast<unsigned>(padded(block.count)));
    for (int64_t k = 0; k < panels.count; ++k) {
      const PanelPlace place = panel_place(panels, k, p.height, p.width);
      ReadAhead ahead = read_ahead_of(p, image, panels, k);
      copy_panel<C>(p, grad_image, place, &panel);
      for (int s = 0; s * kTileColumns < place.columns; ++s) {
        gather_strip<C>(block, {place.column + s * kTileColumns, place.row, place.rows}, p.supersample,
                        strip_of<C>(&panel, s), &work, sums, [&] { read_ahead<C>(&ahead); });
      }
    }
    write_gradients<C>(p, block, sums, p.grad_gaussians + index * (kShapeParameters + C));
    index = stop;
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
