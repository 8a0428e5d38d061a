// Gaussians against a tile: which of them it needs, and their records in shared memory, all that adding one up reads.
#pragma once

#include "forward_args.h"

namespace gsdd::cuda {

// Five vectors. A stride of five keeps lanes in different banks.
//   0: bits, m11, m12, u0    1: m22, v0, ratio, center_x    2: colours
//   3: the same as 0 for the smooth form                     4: m22, v0, ratio (negative: never smooth), center_y
// ratio: that of successive ratios of alphas one step apart; a step is half a pixel in 1 (used where S = 2), and one
// pixel in 4.
inline constexpr int kRecordVectors = 5;

// The corner of a block's tile, in pixels of the image.
struct Corner {
  float x, y;
};

// The samples of a block's tile, from its corner. Made anew for each Gaussian: kept, it would take registers.
GSDD_DEVICE Box tile_of(const ForwardArgs& args, const Corner& tile) {
  const float rim = 0.5f / static_cast<float>(args.supersample);
  const float width = static_cast<float>(args.patches_x * kPatchWidth);
  const float height = static_cast<float>(args.patches / args.patches_x * kPatchHeight);
  return {rim, smaller(width, args.source.grid.width - tile.x) - rim, rim,
          smaller(height, args.source.grid.height - tile.y) - rim};
}

// Whether a Gaussian may be drawn in the tile.
GSDD_DEVICE bool meets_tile(const ForwardArgs& args, int64_t gaussian, const Corner& tile) {
  Shape p;
  if (!read_shape(args.source, gaussian, &p)) return false;
  const Whitening m = whitening(p.numbers, args.source.grid, kPixelDeviation);
  return cover(place(m, p.numbers, bits_of(p.opacity), args.source.grid, tile.x, tile.y), tile_of(args, tile)) !=
         kOutside;
}

template <int kColors>
GSDD_DEVICE void prepare(const ForwardArgs& args, int64_t gaussian, const Corner& tile, simt::Float4* record) {
  Shape p;
  float color[kColors];
  record[0].x = -INFINITY;
  if (gaussian < 0 || gaussian >= args.gaussians || !read_shape(args.source, gaussian, &p)) return;
  if (!read_colors<kColors>(args.source, gaussian, color)) return;
  const Grid& grid = args.source.grid;
  const float weight = 1.0f / args.samples;
  record[2] = {weight * color[0], kColors > 1 ? weight * color[kColors > 1 ? 1 : 0] : 0.0f,
               kColors > 2 ? weight * color[kColors > 2 ? 2 : 0] : 0.0f,
               kColors > 3 ? weight * color[kColors > 3 ? 3 : 0] : 0.0f};
  const Whitening m = whitening(p.numbers, grid, kPixelDeviation);
  const Ellipse e = place(m, p.numbers, bits_of(p.opacity), grid, tile.x, tile.y);
  record[0] = {e.bits, e.m11, e.m12, e.u0};
  record[1] = {e.m22, e.v0, simt::exp2_fast(-0.5f * e.m11 * e.m11), e.center_x};
  record[4] = {0.0f, 0.0f, -1.0f, e.center_y};
  if (!(m.m11 * m.m11 + m.m12 * m.m12 + m.m22 * m.m22 <= kSmoothTrace)) return;
  const Whitening w = whitening(p.numbers, grid, args.smooth_deviation);
  // Widened, it is lower by the root of the determinants' ratio; and it stands for all samples of a pixel.
  const float bits = e.bits + log2f(determinant_ratio(m, w) * args.samples);
  const Ellipse s = place(w, p.numbers, bits, grid, tile.x, tile.y);
  record[3] = {s.bits, s.m11, s.m12, s.u0};
  record[4].x = s.m22, record[4].y = s.v0, record[4].z = simt::exp2_fast(-2.0f * s.m11 * s.m11);
}

GSDD_DEVICE Ellipse ellipse_of(const simt::Float4* record) {
  const simt::Float4 a = record[0], b = record[1];
  return {a.x, a.y, a.z, a.w, b.x, b.y, b.w, record[4].w};
}

}  // namespace gsdd::cuda
