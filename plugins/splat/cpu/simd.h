// Vectors of floats for one instruction set. Every translation unit that includes this defines GSDD_ISA, the
// namespace that keeps its code apart: nothing here may be shared between units compiled with different flags.
#pragma once

#ifndef GSDD_ISA
#error "define GSDD_ISA before including the kernel"
#endif

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define GSDD_INLINE static inline __attribute__((always_inline))

namespace gsdd::cpu::GSDD_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

// A vector covers a tile of kTileColumns x kTileRows pixels, row after row.
constexpr int kTileColumns = kLanes < 8 ? kLanes : 8;
constexpr int kTileRows = kLanes / kTileColumns;

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t UnsignedVec __attribute__((vector_size(kLanes * 4)));

GSDD_INLINE Vec vec(float value) { return value - Vec{}; }
GSDD_INLINE Vec load(const float* from) {
  Vec v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
GSDD_INLINE IntVec load(const int* from) {
  IntVec v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
// The first `count` numbers, and zeros in the other lanes.
GSDD_INLINE Vec load_some(const float* from, int count) {
  if (count >= kLanes) return load(from);
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), from);
#else
  Vec v{};
  for (int i = 0; i < count; ++i) v[i] = from[i];
  return v;
#endif
}
GSDD_INLINE void store(float* to, Vec v) { __builtin_memcpy(to, &v, sizeof v); }
GSDD_INLINE void store(int* to, IntVec v) { __builtin_memcpy(to, &v, sizeof v); }

// Past the caches, to an address aligned to the vector; visible to other threads after stream_fence.
GSDD_INLINE void stream(void* to, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(static_cast<float*>(to), (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(static_cast<float*>(to), (__m256)v);
#elif defined(__SSE__)
  _mm_stream_ps(static_cast<float*>(to), (__m128)v);
#else
  __builtin_memcpy(to, &v, sizeof v);
#endif
}
GSDD_INLINE void stream_fence() {
#if defined(__SSE__)
  _mm_sfence();
#endif
}

// from[index[i]] in lane i.
template <typename Numbers, typename Number>
GSDD_INLINE Numbers gather_as(const Number* from, IntVec index) {
#if defined(__AVX512F__)
  return (Numbers)_mm512_i32gather_ps((__m512i)index, from, 4);
#else
  Numbers v;
  for (int i = 0; i < kLanes; ++i) v[i] = from[index[i]];
  return v;
#endif
}
GSDD_INLINE Vec gather(const float* from, IntVec index) { return gather_as<Vec>(from, index); }
GSDD_INLINE IntVec gather(const int* from, IntVec index) { return gather_as<IntVec>(from, index); }

GSDD_INLINE float minimum(float a, float b) { return a < b ? a : b; }
GSDD_INLINE float maximum(float a, float b) { return a > b ? a : b; }
GSDD_INLINE int minimum(int a, int b) { return a < b ? a : b; }
GSDD_INLINE int maximum(int a, int b) { return a > b ? a : b; }
GSDD_INLINE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
// Of two numbers, the second where one is NaN.
GSDD_INLINE Vec minimum(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE__)
  return (Vec)_mm_min_ps((__m128)a, (__m128)b);
#else
  return a < b ? a : b;
#endif
}
GSDD_INLINE Vec maximum(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE__)
  return (Vec)_mm_max_ps((__m128)a, (__m128)b);
#else
  return a > b ? a : b;
#endif
}

// sqrt(v) to 4e-4, relative; v > 0.
GSDD_INLINE Vec rough_sqrt(Vec v) {
#if defined(__AVX512F__)
  return v * (Vec)_mm512_rsqrt14_ps((__m512)v);
#elif defined(__AVX2__)
  return v * (Vec)_mm256_rsqrt_ps((__m256)v);
#elif defined(__SSE__)
  return v * (Vec)_mm_rsqrt_ps((__m128)v);
#else
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

GSDD_INLINE Vec absolute(Vec v) { return (Vec)((IntVec)v & 0x7fffffff); }

// Towards zero.
GSDD_INLINE IntVec whole(Vec v) { return __builtin_convertvector(v, IntVec); }

// The lanes of `value` where `test >= limit`; zero elsewhere.
GSDD_INLINE Vec keep_ge(Vec test, Vec limit, Vec value) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)test, (__m512)limit, _CMP_GE_OQ), (__m512)value);
#elif defined(__AVX2__)
  return (Vec)_mm256_and_ps(_mm256_cmp_ps((__m256)test, (__m256)limit, _CMP_GE_OQ), (__m256)value);
#else
  return test >= limit ? value : Vec{};
#endif
}

// sum + value in the lanes where `test >= limit`; sum elsewhere.
GSDD_INLINE Vec add_where_ge(Vec sum, Vec value, Vec test, Vec limit) {
#if defined(__AVX512F__)
  return (Vec)_mm512_mask_add_ps((__m512)sum, _mm512_cmp_ps_mask((__m512)test, (__m512)limit, _CMP_GE_OQ), (__m512)sum,
                                 (__m512)value);
#else
  return sum + keep_ge(test, limit, value);
#endif
}

GSDD_INLINE Vec count_up() {
  Vec v{};
  for (int i = 0; i < kLanes; ++i) v[i] = static_cast<float>(i);
  return v;
}

GSDD_INLINE IntVec count_from(int first) { return __builtin_convertvector(count_up(), IntVec) + first; }

GSDD_INLINE Vec lane_columns() {
  Vec v{};
  for (int i = 0; i < kLanes; ++i) v[i] = static_cast<float>(i % kTileColumns);
  return v;
}

GSDD_INLINE Vec lane_rows() {
  Vec v{};
  for (int i = 0; i < kLanes; ++i) {
    const int row = i / kTileColumns;
    v[i] = static_cast<float>(row);
  }
  return v;
}

}  // namespace gsdd::cpu::GSDD_ISA
