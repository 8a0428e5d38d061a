// What moves numbers from lane to lane.
#pragma once

#include <utility>

#include "simd.h"

namespace gsdd::cpu::GSDD_ISA {

// Lanes that stay, and how many.
#if defined(__AVX512F__)
struct Chosen {
  __mmask16 mask;
  int count;
};
GSDD_INLINE Chosen chosen(IntVec keep) {
  const __mmask16 mask = _mm512_test_epi32_mask((__m512i)keep, (__m512i)keep);
  return {mask, __builtin_popcount(mask)};
}
// The lanes that stay, one behind another; writes kLanes numbers.
template <typename Number, typename Numbers>
GSDD_INLINE void store_chosen(Number* to, Numbers v, const Chosen& c) {
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(c.mask, (__m512i)v));
}
#elif defined(__AVX2__)
// For each choice of 8 lanes, the lanes in the order in which they are to stand: those that stay first.
struct LaneOrders {
  uint8_t of[256][8];
};
constexpr LaneOrders lane_orders() {
  LaneOrders orders{};
  for (int mask = 0; mask < 256; ++mask) {
    int count = 0;
    for (int lane = 0; lane < 8; ++lane) {
      if (mask >> lane & 1) orders.of[mask][count++] = static_cast<uint8_t>(lane);
    }
  }
  return orders;
}
alignas(64) inline constexpr LaneOrders kLaneOrders = lane_orders();

struct Chosen {
  __m256i order;
  int count;
};
GSDD_INLINE Chosen chosen(IntVec keep) {
  const int mask = _mm256_movemask_ps((__m256)keep);
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kLaneOrders.of[mask]));
  return {_mm256_cvtepu8_epi32(bytes), __builtin_popcount(static_cast<unsigned>(mask))};
}
template <typename Number, typename Numbers>
GSDD_INLINE void store_chosen(Number* to, Numbers v, const Chosen& c) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permutevar8x32_epi32((__m256i)v, c.order));
}
#else
struct Chosen {
  int place[kLanes];  // where a lane goes, or where what follows it overwrites it
  int count;
};
GSDD_INLINE Chosen chosen(IntVec keep) {
  Chosen c;
  c.count = 0;
  for (int i = 0; i < kLanes; ++i) {
    c.place[i] = c.count;
    c.count -= keep[i];
  }
  return c;
}
template <typename Number, typename Numbers>
GSDD_INLINE void store_chosen(Number* to, Numbers v, const Chosen& c) {
  for (int i = 0; i < kLanes; ++i) to[c.place[i]] = v[i];
}
#endif

// Lane i of the result is lane From{}(i) of a and then b.
template <typename From, int... kLane>
GSDD_INLINE Vec permute(Vec a, Vec b, std::integer_sequence<int, kLane...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, From{}(kLane)...);
#else
  return __builtin_shuffle(a, b, IntVec{From{}(kLane)...});
#endif
}
template <typename From>
GSDD_INLINE Vec permute(Vec a, Vec b, From) {
  return permute<From>(a, b, std::make_integer_sequence<int, kLanes>());
}

// The first, or the second, half of a and then of b: between two tiles of two rows, and two rows of two tiles.
GSDD_INLINE Vec first_halves(Vec a, Vec b) {
  return permute(a, b, [](int lane) { return lane % (kLanes / 2) + lane / (kLanes / 2) * kLanes; });
}
GSDD_INLINE Vec second_halves(Vec a, Vec b) {
  return permute(a, b, [](int lane) { return lane % (kLanes / 2) + lane / (kLanes / 2) * kLanes + kLanes / 2; });
}

// Turns kLanes vectors around: number i of vector j becomes number j of vector i.
GSDD_INLINE void transpose(Vec* v) {
  for (int round = 1; round < kLanes; round *= 2) {
    Vec mixed[kLanes];
    for (int i = 0; i < kLanes / 2; ++i) {
      const Vec a = v[i], b = v[i + kLanes / 2];
      mixed[2 * i] = permute(a, b, [](int lane) { return lane / 2 + lane % 2 * kLanes; });
      mixed[2 * i + 1] = permute(a, b, [](int lane) { return lane / 2 + lane % 2 * kLanes + kLanes / 2; });
    }
    for (int i = 0; i < kLanes; ++i) v[i] = mixed[i];
  }
}

// Writes kNumbers vectors as kLanes records of kNumbers numbers.
template <int kNumbers>
GSDD_INLINE void store_transposed(Vec* v, float* records) {
  static_assert(kNumbers % kLanes == 0);
  for (int part = 0; part < kNumbers; part += kLanes) {
    transpose(v + part);
    for (int i = 0; i < kLanes; ++i) store(records + i * kNumbers + part, v[part + i]);
  }
}

// Every other number of a and b, from `kFirst` on: four lanes of a beside four of b. One instruction.
template <int kFirst>
GSDD_INLINE Vec every_other(Vec a, Vec b) {
  return permute(a, b, [](int lane) { return lane / 4 * 4 + lane % 2 * 2 + lane / 2 % 2 * kLanes + kFirst; });
}

// Every other four numbers of a and then of b, from the four `kFirst` on.
template <int kFirst>
GSDD_INLINE Vec every_other_four(Vec a, Vec b) {
  return permute(a, b, [](int lane) { return lane / 4 * 8 + lane % 4 + 4 * kFirst; });
}

// Sums the vectors from kIndex * kSize on, kSize of them, those outside kFirst .. kLast taken as 0 and not read, until
// each four lanes hold partial sums of four vectors, or of all.
template <int kSize, int kIndex, int kFirst, int kLast>
GSDD_INLINE Vec sum_tree(const Vec* v) {
  if constexpr (kIndex * kSize > kLast || (kIndex + 1) * kSize <= kFirst) {
    return Vec{};
  } else if constexpr (kSize == 1) {
    return v[kIndex];
  } else {
    const Vec a = sum_tree<kSize / 2, 2 * kIndex, kFirst, kLast>(v);
    const Vec b = sum_tree<kSize / 2, 2 * kIndex + 1, kFirst, kLast>(v);
    if constexpr (kSize <= 4) {
      return every_other<0>(a, b) + every_other<1>(a, b);
    } else {
      return every_other_four<0>(a, b) + every_other_four<1>(a, b);
    }
  }
}

// The sums over the lanes of vectors kFirst .. kLast of kLanes, in those lanes; 0 in the others.
template <int kFirst, int kLast>
GSDD_INLINE Vec sum_each(const Vec* v) {
  return sum_tree<kLanes, 0, kFirst, kLast>(v);
}

}  // namespace gsdd::cpu::GSDD_ISA
