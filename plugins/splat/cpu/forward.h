// Drawing: a panel of the image is accumulated tile by tile, Gaussian after Gaussian, and then written once.
#pragma once

#include "chain.h"
#include "finish.h"
#include "panel.h"
#include "strip_plan.h"

namespace gsdd::cpu::GSDD_ISA {

template <int C>
GSDD_INLINE void add_color(float* tile, Vec alpha, const Vec* color) {
  for (int c = 0; c < C; ++c) store(tile + c * kLanes, load(tile + c * kLanes) + alpha * color[c]);
}

// Tiles whose samples may lie on either side of the ellipse: four samples, each tested.
template <int C, bool kClip, bool kNarrow>
GSDD_INLINE void draw_edge(float* tile, int tiles, Chain4 chain, Vec step, const Vec* color) {
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
GSDD_INLINE void draw_inside(float* tile, int tiles, Chain1 chain, Vec step, const Vec* color) {
  for (; tiles > 0; --tiles, tile += C * kLanes) {
    add_color<C>(tile, chain.alpha, color);
    chain.alpha *= chain.ratio;
    chain.ratio = next_ratio<false>(chain.ratio, step);
  }
}

// Any Gaussian, any number of samples: an exponential each.
template <int C>
void draw_direct(float* tile, int tiles, const Frames& f, int i, Vec x, Vec y, int samples, const Vec* color) {
  const Vec threshold = vec(kAlphaThreshold), limit = vec(kAlphaLimit), opacity = vec(f.opacity[i]);
  const float step = 1.0f / static_cast<float>(samples);
  for (; tiles > 0; --tiles, tile += C * kLanes, y += static_cast<float>(kTileRows)) {
    Vec alphas{};
    for (int s = 0; s < samples; ++s) {
      const Vec dx = x + (static_cast<float>(s) + 0.5f) * step;
      const Vec u = f.u0[i] + f.ux[i] * dx, vx = f.v0[i] + f.vx[i] * dx;
      for (int t = 0; t < samples; ++t) {
        const Vec v = vx + f.vy[i] * (y + (static_cast<float>(t) + 0.5f) * step);
        const Vec alpha = opacity * exp2(-(u * u + v * v));
        alphas = add_where_ge(alphas, minimum(alpha, limit), alpha, threshold);
      }
    }
    add_color<C>(tile, alphas, color);
  }
}

template <int C>
GSDD_INLINE void draw_run(const Block& block, int i, const Run& run, Vec x, Vec y, const Vec* color,
                          const Vec* sample_color, int samples, float* tile) {
  const int tiles = run.to - run.from;
  if (run.how == How::kInside) {
    draw_inside<C>(tile, tiles, start1(block, i, x, y), vec(block.pixel.step[i]), color);
  } else if (run.how == How::kDirect) {
    draw_direct<C>(tile, tiles, block.sample, i, x, y, samples, sample_color);
  } else {
    const Chain4 chain = start4(block, i, x, y);
    const Vec step = vec(block.sample.step[i]);
    if (run.how == How::kEdge) {
      if (block.narrow[i]) {
        draw_edge<C, false, true>(tile, tiles, chain, step, sample_color);
      } else {
        draw_edge<C, false, false>(tile, tiles, chain, step, sample_color);
      }
    } else if (block.narrow[i]) {
      draw_edge<C, true, true>(tile, tiles, chain, step, sample_color);
    } else {
      draw_edge<C, true, false>(tile, tiles, chain, step, sample_color);
    }
  }
}

struct StripList {
  int count;
  int index[kBlock];  // Gaussians of the block that touch the strip
  ExtentArrays<kBlock> extents;
};

GSDD_INLINE void list_strip(const Block& block, int column, int row, int rows, float sample_margin, StripList* list) {
  list->count = 0;
  for (int i = 0; i < block.count; i += kLanes) {
    const IntVec touching = (load(block.first_column + i) < column + kTileColumns) &
                            (load(block.last_column + i) >= column) & (load(block.first_row + i) < row + rows) &
                            (load(block.last_row + i) >= row);
    if (!any(touching)) continue;
    const EllipseVecs e = load_ellipses(block, i);
    const ExtentVecs x = extents(e, static_cast<float>(column) - e.origin_x, row, rows, sample_margin);
    list->extents.put(i, x);
    int flags[kLanes];
    store(flags, touching & (x.from < x.to));
    for (int k = 0; k < kLanes; ++k) {
      list->index[list->count] = i + k;
      list->count -= flags[k];
    }
  }
}

template <int C>
GSDD_INLINE void draw_gaussian(const Block& block, int i, const StripPlan& plan, int column, int row, int samples,
                               float* sums) {
  const float weight = 1.0f / static_cast<float>(samples * samples);
  Vec color[C], sample_color[C];
  for (int c = 0; c < C; ++c) {
    color[c] = vec(block.raw[5 + c][i]);
    sample_color[c] = color[c] * weight;
  }
  const Vec x = lane_columns() + (static_cast<float>(column) - block.origin_x[i]);
  const Vec y = lane_rows() + (static_cast<float>(row) - block.origin_y[i]);
  for (int k = 0; k < plan.count; ++k) {
    const Run& run = plan.runs[k];
    draw_run<C>(block, i, run, x, y + static_cast<float>(run.from * kTileRows), color, sample_color, samples,
                sums + run.from * (C * kLanes));
  }
}

// Adds a block of Gaussians to one panel.
template <int C>
void draw_block(const SplatParams& p, const Block& block, const PanelPlace& place, Panel* panel) {
  StripList list;
  const float sample_margin = 0.5f / static_cast<float>(p.supersample);
  for (int s = 0; s < kPanelStrips; ++s) {
    const int column = place.column + s * kTileColumns;
    list_strip(block, column, place.row, place.rows, sample_margin, &list);
    for (int k = 0; k < list.count; ++k) {
      const int i = list.index[k];
      const StripPlan plan = plan_strip(list.extents.at(i), block.wide[i], p.supersample);
      draw_gaussian<C>(block, i, plan, column, place.row, p.supersample, panel->sums + s * kStripTiles * C * kLanes);
    }
  }
}

template <int C>
void forward(const SplatParams& p, int64_t begin, int64_t end) {
  Block block;
  Panel panel;
  const Panels panels = panels_of(p.height, p.width);
  int64_t placed = -1;  // the image whose Gaussians stand in `block`, if all of them fit
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t image = unit / panels.count;
    const PanelPlace place = panel_place(panels, unit % panels.count, p.height);
    clear<C>(&panel, place.rows);
    for (int64_t first = 0; first < p.count; first += kBlock) {
      if (placed != image)
        place_block<C>(p, image * p.count + first, static_cast<int>(minimum(p.count - first, int64_t{kBlock})), &block);
      draw_block<C>(p, block, place, &panel);
    }
    placed = p.count <= kBlock ? image : -1;
    finish<C>(p, image, place, panel);
  }
  stream_fence();
}

}  // namespace gsdd::cpu::GSDD_ISA
