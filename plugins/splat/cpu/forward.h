// Drawing: a panel of the image is accumulated tile by tile, Gaussian after Gaussian, and then written once.
#pragma once

#include "chain.h"
#include "finish.h"
#include "panel.h"
#include "shapes.h"

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
GSDD_INLINE void draw_strip(const SplatParams& p, const Block& block, int i, int column, int row, int rows,
                            float* strip) {
  const StripPlan plan = plan_strip(block, i, column, row, rows, p.supersample);
  if (plan.first >= plan.last) return;
  const Vec x = lane_columns() + (static_cast<float>(column) - block.origin_x[i]);
  const Vec y = lane_rows() + (static_cast<float>(row) - block.origin_y[i]);
  const float weight = 1.0f / static_cast<float>(p.supersample * p.supersample);
  Vec edge_color[C], color[C];
  for (int c = 0; c < C; ++c) {
    color[c] = vec(block.raw[5 + c][i]);
    edge_color[c] = color[c] * weight;
  }
  const auto tile = [strip](int k) { return strip + k * (C * kLanes); };
  const auto row_of = [y](int k) { return y + static_cast<float>(k * kTileRows); };
  const auto edge = [&](int from, int to) {
    if (from >= to) return;
    if (!plan.chained) {
      draw_direct<C>(tile(from), to - from, block.sample, i, x, row_of(from), p.supersample, edge_color);
      return;
    }
    const Chain4 chain = start4(block, i, x, row_of(from));
    const Vec step = vec(block.sample_step[i]);
    if (block.sample.opacity[i] > kAlphaLimit) {
      if (block.narrow[i] != 0.0f) {
        draw_edge<C, true, true>(tile(from), to - from, chain, step, edge_color);
      } else {
        draw_edge<C, true, false>(tile(from), to - from, chain, step, edge_color);
      }
    } else if (block.narrow[i] != 0.0f) {
      draw_edge<C, false, true>(tile(from), to - from, chain, step, edge_color);
    } else {
      draw_edge<C, false, false>(tile(from), to - from, chain, step, edge_color);
    }
  };
  edge(plan.first, plan.first_inside);
  if (plan.first_inside < plan.last_inside) {
    draw_inside<C>(tile(plan.first_inside), plan.last_inside - plan.first_inside,
                   start1(block, i, x, row_of(plan.first_inside)), vec(block.pixel_step[i]), color);
  }
  edge(plan.last_inside, plan.last);
}

// Adds a block of Gaussians to one panel.
template <int C>
void draw_block(const SplatParams& p, const Block& block, const PanelPlace& place, Panel* panel) {
  const int end_column = place.column + kPanelColumns, end_row = place.row + place.rows;
  for (int i = 0; i < block.count; ++i) {
    if (block.first_column[i] >= end_column || block.last_column[i] < place.column) continue;
    if (block.first_row[i] >= end_row || block.last_row[i] < place.row) continue;
    for (int s = 0; s < kPanelStrips; ++s) {
      const int column = place.column + s * kTileColumns;
      if (block.first_column[i] >= column + kTileColumns || block.last_column[i] < column) continue;
      draw_strip<C>(p, block, i, column, place.row, place.rows, panel->sums + s * kStripTiles * C * kLanes);
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
        place_block(p, image * p.count + first, static_cast<int>(minimum(p.count - first, int64_t{kBlock})), &block);
      draw_block<C>(p, block, place, &panel);
    }
    placed = p.count <= kBlock ? image : -1;
    finish<C>(p, image, place, panel);
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
