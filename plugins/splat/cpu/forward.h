// Drawing: a panel of the image is accumulated tile by tile, Gaussian after Gaussian, and then written once.
#pragma once

#include "finish.h"
#include "strips.h"

namespace gsdd::cpu::GSDD_ISA {

template <int C>
GSDD_INLINE void add_color(float* tile, Vec alpha, const Vec* color) {
  for (int c = 0; c < C; ++c) store(tile + c * kLanes, load(tile + c * kLanes) + alpha * color[c]);
}

// Tiles whose samples may lie on either side of the ellipse: four samples, each tested.
template <int C, bool kClip, bool kNarrow>
GSDD_INLINE void draw_edge(float* tile, int tiles, Chain4 chain, const Frame& f) {
  Vec color[C];
  load_colors<C>(f, color);
  const Vec step = vec(f.step);
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit);
  for (; tiles > 0; --tiles, tile += C * kLanes) {
    Vec alphas{};
    for (int k = 0; k < 4; ++k) {
      const Vec alpha = chain.alpha[k];
      alphas = add_where_ge(alphas, kClip ? minimum(alpha, limit) : alpha, alpha, threshold);
      chain.alpha[k] = alpha * chain.ratio[k];
      chain.ratio[k] = next_ratio<kNarrow>(chain.ratio[k], step);
    }
    add_color<C>(tile, alphas, color);
  }
}

// Tiles inside the ellipse of a wide Gaussian: one evaluation a pixel.
template <int C>
GSDD_INLINE void draw_inside(float* tile, int tiles, Chain1 chain, const Frame& f) {
  Vec color[C];
  load_colors<C>(f, color);
  const Vec step = vec(f.step);
  for (; tiles > 0; --tiles, tile += C * kLanes) {
    add_color<C>(tile, chain.alpha, color);
    chain.alpha *= chain.ratio;
    chain.ratio = next_ratio<false>(chain.ratio, step);
  }
}

// Any Gaussian, any number of samples: an exponential each.
template <int C>
void draw_direct(float* tile, int tiles, const Frame& f, float level, Vec x, Vec y, int samples) {
  Vec color[C];
  load_colors<C>(f, color);
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit), opacity = vec(f.opacity),
            dropped = vec(level + 1.0f);
  const float step = 1.0f / static_cast<float>(samples);
  for (; tiles > 0; --tiles, tile += C * kLanes, y += static_cast<float>(kTileRows)) {
    Vec alphas{};
    for (int s = 0; s < samples; ++s) {
      const Vec dx = x + (static_cast<float>(s) + 0.5f) * step;
      const Vec u = f.u0 + f.ux * dx, vx = f.v0 + f.vx * dx;
      for (int t = 0; t < samples; ++t) {
        const Vec v = vx + f.vy * (y + (static_cast<float>(t) + 0.5f) * step);
        // No smaller than is certainly dropped: subnormal numbers are slow.
        const Vec alpha = opacity * exp2_between(-minimum(u * u + v * v, dropped));
        alphas = add_where_ge(alphas, minimum(alpha, limit), alpha, threshold);
      }
    }
    add_color<C>(tile, alphas, color);
  }
}

template <int C, bool kClip, bool kNarrow>
void draw_edges(const Block& block, const Runs& runs, const StripPlace& strip, float* sums, Finisher<C>* finisher) {
  for_chains<Chain4>(
      block.sample, runs, strip, start4,
      [&](const Frame& f, int, int from, int tiles, const Chain4& chain) {
        draw_edge<C, kClip, kNarrow>(sums + from * (C * kLanes), tiles, chain, f);
      },
      [&] { finish_rows(finisher); });
}

template <int C>
void draw_insides(const Block& block, const Runs& runs, const StripPlace& strip, float* sums, Finisher<C>* finisher) {
  for_chains<Chain1>(
      block.pixel, runs, strip, start1,
      [&](const Frame& f, int, int from, int tiles, const Chain1& chain) {
        draw_inside<C>(sums + from * (C * kLanes), tiles, chain, f);
      },
      [&] { finish_rows(finisher); });
}

template <int C>
void draw_directs(const Block& block, const Runs& runs, const StripPlace& strip, int samples, float* sums) {
  for (int k = 0; k < runs.count; ++k) {
    const Frame& f = block.sample[runs.id[k]];
    const int from = runs.from[k];
    draw_direct<C>(sums + from * (C * kLanes), runs.to[k] - from, f, block.level[runs.id[k]], first_x(f, strip.column),
                   first_y(f, strip.row + from * kTileRows), samples);
  }
}

// Adds a block of Gaussians to one strip.
template <int C>
GSDD_INLINE void draw_strip(const Block& block, const StripPlace& strip, int samples, StripWork* work, float* sums,
                            Finisher<C>* finisher) {
  if (!list_runs(block, strip, samples, work)) return;
  const Runs* runs = work->lists.of;
  draw_edges<C, false, false>(block, runs[kEdge], strip, sums, finisher);
  draw_edges<C, false, true>(block, runs[kNarrowEdge], strip, sums, finisher);
  draw_edges<C, true, false>(block, runs[kClip], strip, sums, finisher);
  draw_edges<C, true, true>(block, runs[kNarrowClip], strip, sums, finisher);
  draw_insides<C>(block, runs[kInside], strip, sums, finisher);
  draw_directs<C>(block, runs[kDirect], strip, samples, sums);
}

template <int C>
__attribute__((noinline)) void forward(const SplatParams& p, int columns, int64_t begin, int64_t end) {
  Block block;
  Panel drawn[2];  // one is drawn while the other is written
  StripWork work;
  Finisher<C> finisher(p);
  const Panels panels = panels_of(p.height, p.width, columns);
  int64_t placed = -1;  // the image whose Gaussians stand in `block`, if all of them fit
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t image = unit / panels.count;
    const PanelPlace place = panel_place(panels, unit % panels.count, p.height, p.width);
    Panel& panel = drawn[unit % 2];
    bool first = true;
    for (int64_t next = 0; first || next < p.count; first = false) {
      if (p.count > kBlock) {
        next = read_touching<C>(p, image, next, region_of(place), &block);
        place_numbers<C>(p, &block);
      } else if (placed == image) {
        next = p.count;
      } else {
        place_block<C>(p, image * p.count, static_cast<int>(p.count), &block);
        placed = image;
        next = p.count;
      }
      for (int s = 0; s * kTileColumns < place.columns; ++s) {
        float* sums = strip_of<C>(&panel, s);
        if (first) clear_strip<C>(sums, place.rows);
        draw_strip<C>(block, {place.column + s * kTileColumns, place.row, place.rows}, p.supersample, &work, sums,
                      &finisher);
      }
    }
    finish_rest(&finisher);
    finish_next(&finisher, panel, image, place);
  }
  finish_rest(&finisher);
  stream_fence();
}

}  // namespace gsdd::cpu::GSDD_ISA
