// Reads Gaussians, of any storage type, into a block.
#pragma once

#include "block.h"
#include "convert.h"
#include "exponent.h"
#include "panel.h"
#include "shuffle.h"

namespace gsdd::cpu::GSDD_ISA {

template <int C, DType kType>
GSDD_INLINE void read_as(const void* gaussians, int64_t first, int count, int at, Block* block) {
  constexpr int kParameters = kShapeParameters + C;
  for (int i = 0; i < count; ++i) {
    for (int k = 0; k < kParameters; ++k) {
      block->raw[k][at + i] = load_number(gaussians, kType, (first + i) * kParameters + k);
    }
  }
}

// Gaussians first .. first + count of the tensor to places at .. at + count of the block.
template <int C, typename Params>
GSDD_INLINE void read_numbers(const Params& p, int64_t first, int count, int at, Block* block) {
  switch (p.gaussian_dtype) {
    case DType::kFloat32:
      return read_as<C, DType::kFloat32>(p.gaussians, first, count, at, block);
    case DType::kFloat16:
      return read_as<C, DType::kFloat16>(p.gaussians, first, count, at, block);
    default:
      return read_as<C, DType::kBFloat16>(p.gaussians, first, count, at, block);
  }
}

// Part of the output, in pixels.
struct Region {
  float left, right, top, bottom;
};

// Of a panel that is as wide as they get: what is drawn with what must not depend on how an image is spread.
GSDD_INLINE Region region_of(const PanelPlace& place) {
  const int left = place.column / kPanelColumns * kPanelColumns;
  return {static_cast<float>(left - 1), static_cast<float>(left + kPanelColumns + 1), static_cast<float>(place.row - 1),
          static_cast<float>(place.row + place.rows + 1)};
}

// Of kLanes Gaussians from `at` on, those that may draw in a region: few others are among them, and none is missing.
template <int C>
GSDD_INLINE IntVec may_touch(const SplatParams& p, const Region& region, const Block& block, int at) {
  const float width = static_cast<float>(p.width), height = static_cast<float>(p.height);
  const float scale_x = width / static_cast<float>(p.native_width);
  const float scale_y = height / static_cast<float>(p.native_height);
  const auto number = [&](int k) { return load(block.raw[k] + at); };
  const Vec x = (number(kX) + 1.0f) * (0.5f * width), y = (number(kY) + 1.0f) * (0.5f * height);
  const Vec a = scale_x * (number(kL11) + kCholeskyBias), b = scale_y * number(kL21);
  const Vec c = scale_y * (number(kL22) + kCholeskyBias), opacity = number(kColor + C);
  constexpr float kVariance = static_cast<float>(kPixelVariance);
  const Vec twice_sigma = 1.3862944f * (log2_rough(opacity) + kThresholdBits) + 0.05f;
  const Vec dx = maximum(maximum(region.left - x, x - region.right), Vec{});
  const Vec dy = maximum(maximum(region.top - y, y - region.bottom), Vec{});
  return (opacity > kAlphaThreshold) & (dx * dx <= (a * a + kVariance) * twice_sigma) &
         (dy * dy <= (b * b + c * c + kVariance) * twice_sigma);
}

// Reads those of an image's Gaussians from `next` on that may draw in a region, until the block is full or there are no
// more. Returns the first that was not looked at.
template <int C>
GSDD_INLINE int64_t read_touching(const SplatParams& p, int64_t image, int64_t next, const Region& region,
                                  Block* block) {
  block->count = 0;
  while (next < p.count && block->count + kLanes <= kBlock) {
    const int at = block->count, count = static_cast<int>(minimum(p.count - next, int64_t{kLanes}));
    read_numbers<C>(p, image * p.count + next, count, at, block);
    const Chosen stay = chosen(may_touch<C>(p, region, *block, at) & (count_from(0) < count));
    for (int k = 0; k < kShapeParameters + C; ++k) store_chosen(block->raw[k] + at, load(block->raw[k] + at), stay);
    block->count += stay.count;
    next += count;
  }
  return next;
}

}  // namespace gsdd::cpu::GSDD_ISA
