// Blocks of neighbouring channels: 4, 2 or 1 vectors side by side, and the last one of a number that fills none.
#pragma once

#include "../../splat/cpu/simd.h"

namespace gsdd::cpu::GSDD_ISA {

template <int kCount>
struct Block {
  Vec v[kCount] = {};
};

#define GSDD_ON_BLOCKS(op)                                                         \
  template <int kCount>                                                            \
  GSDD_INLINE Block<kCount> operator op(Block<kCount> a, const Block<kCount>& b) { \
    for (int i = 0; i < kCount; ++i) a.v[i] = a.v[i] op b.v[i];                    \
    return a;                                                                      \
  }
GSDD_ON_BLOCKS(+)
GSDD_ON_BLOCKS(-)
GSDD_ON_BLOCKS(*)
#undef GSDD_ON_BLOCKS

template <int kCount>
GSDD_INLINE Block<kCount> operator*(float a, Block<kCount> b) {
  for (int i = 0; i < kCount; ++i) b.v[i] *= a;
  return b;
}

template <int kCount>
GSDD_INLINE Block<kCount> at_least_zero(Block<kCount> a) {
  for (int i = 0; i < kCount; ++i) a.v[i] = maximum(a.v[i], Vec{});
  return a;
}

// Reads and writes kCount whole vectors.
template <int kVectors>
struct Whole {
  static constexpr int kCount = kVectors;
  inline __attribute__((always_inline)) Block<kCount> read(const float* from) const {
    Block<kCount> b;
    for (int i = 0; i < kCount; ++i) b.v[i] = load(from + i * kLanes);
    return b;
  }
  inline __attribute__((always_inline)) void write(float* to, const Block<kCount>& b) const {
    for (int i = 0; i < kCount; ++i) store(to + i * kLanes, b.v[i]);
  }
};

// The first `count` channels of one vector; zeros are read behind them, and nothing is written.
struct Some {
  static constexpr int kCount = 1;
  int count;
  inline __attribute__((always_inline)) Block<1> read(const float* from) const { return {{load_some(from, count)}}; }
  inline __attribute__((always_inline)) void write(float* to, const Block<1>& b) const {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1u), (__m512)b.v[0]);
#else
    for (int i = 0; i < count; ++i) to[i] = b.v[0][i];
#endif
  }
};

// run(access, first channel) for each block, of kMost vectors or fewer.
template <int kMost, typename Run>
GSDD_INLINE void each_block(int64_t channels, Run&& run) {
  int64_t at = 0;
  for (; at + kMost * kLanes <= channels; at += kMost * kLanes) run(Whole<kMost>{}, at);
  if constexpr (kMost > 2) {
    for (; at + 2 * kLanes <= channels; at += 2 * kLanes) run(Whole<2>{}, at);
  }
  for (; at + kLanes <= channels; at += kLanes) run(Whole<1>{}, at);
  if (at < channels) run(Some{static_cast<int>(channels - at)}, at);
}

}  // namespace gsdd::cpu::GSDD_ISA
