// A block of Gaussians, placed on the output grid.
//
// The alpha of sample (x, y) is written as opacity * 2^-(u^2 + v^2), with u = u0 + ux * X, v = v0 + vx * X + vy * Y,
// X = x - origin_x and Y = y - origin_y. The square factor of the inverse covariance keeps the digits that its entries
// would lose for a needle, and the origin, the grid point nearest the centre, those that a large canvas would.
#pragma once

#include "../splat.h"
#include "simd.h"

namespace gsdd::cpu::GSDD_ISA {

constexpr int kBlock = 512;
constexpr int kMaxParameters = kShapeParameters + kMaxChannels;

// All that drawing one Gaussian reads, in one cache line.
struct alignas(64) Frame {
  float u0, ux, v0, vx, vy, opacity;
  float step;                  // a ratio's factor from one tile to the next, less 1 unless narrow; see chain.h
  float cross, along, across;  // of the 2 x 2 samples: see start4
  float origin_x, origin_y;
  float color[kMaxChannels];  // what alpha is multiplied by
};
constexpr int kFrameNumbers = sizeof(Frame) / sizeof(float), kFirstColor = kFrameNumbers - kMaxChannels;

struct alignas(64) Block {
  int count;
  float raw[kMaxParameters][kBlock];
  Frame sample[kBlock];  // of a sample point, and a sample's share of the colour
  Frame pixel[kBlock];   // of the mean of a pixel's samples, where the Gaussian is wide

  // The ellipse within which a Gaussian draws.
  float u0[kBlock], ux[kBlock], v0[kBlock], vx[kBlock], vy[kBlock];  // of the sample frame
  float per_u[kBlock], per_v[kBlock];                                // 1 / ux and 1 / vy
  float origin_x[kBlock], origin_y[kBlock];
  float level[kBlock];  // u^2 + v^2 at which alpha falls below the threshold; < 0: nothing is drawn
  float clip[kBlock];   // u^2 + v^2 at which alpha reaches its limit; <= 0: it does not
  float top[kBlock];    // u at the ellipse's largest y, in units of its radius
  int narrow[kBlock];   // all bits set: the step is stored as it is
  int wide[kBlock];     // all bits set: `pixel` may be used
  int first_column[kBlock], last_column[kBlock];  // pixels touched, inclusive; first > last: none
  int first_row[kBlock], last_row[kBlock];
};

constexpr int padded(int count) { return (count + 15) & ~15; }

}  // namespace gsdd::cpu::GSDD_ISA
