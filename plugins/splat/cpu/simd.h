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

GSDD_INLINE Vec vec(float value) { return Vec{} + value; }
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
GSDD_INLINE void store(float* to, Vec v) { __builtin_memcpy(to, &v, sizeof v); }
GSDD_INLINE void store(int* to, IntVec v) { __builtin_memcpy(to, &v, sizeof v); }

// Past the caches, to an address aligned to the vector; visible to other threads after stream_fence.
GSDD_INLINE void stream(float* to, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(to, (__m256)v);
#elif defined(__SSE__)
  _mm_stream_ps(to, (__m128)v);
#else
  store(to, v);
#endif
}
GSDD_INLINE void stream_fence() {
#if defined(__SSE__)
  _mm_sfence();
#endif
}

GSDD_INLINE bool any(IntVec v) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)v, (__m512i)v) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)v, (__m256i)v);
#else
  int all = 0;
  for (int i = 0; i < kLanes; ++i) all |= v[i];
  return all != 0;
#endif
}

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

// 2^x to 1.5e-7, relative, for x in [-126, 126].
GSDD_INLINE Vec exp2_between(Vec x) {
#if defined(__AVX512F__)
  const Vec whole = (Vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const Vec shifted = x + 12582912.0f;
  const Vec whole = shifted - 12582912.0f;
#endif
  const Vec f = x - whole;
  Vec r = vec(0.001327647129073739f);
  r = r * f + 0.009675540961325169f;
  r = r * f + 0.05550713092088699f;
  r = r * f + 0.24022120237350464f;
  r = r * f + 0.6931469440460205f;
  r = r * f + 1.0000001192092896f;
#if defined(__AVX512F__)
  return (Vec)_mm512_scalef_ps((__m512)r, (__m512)whole);
#else
  return (Vec)((IntVec)r + ((IntVec)shifted << 23));
#endif
}

// 2^x to 1.5e-7, relative; x is moved into [-126, 126].
GSDD_INLINE Vec exp2(Vec x) { return exp2_between(maximum(minimum(x, vec(126.0f)), vec(-126.0f))); }

// 2^x - 1 to 4e-7, relative, for x <= 0.
GSDD_INLINE Vec exp2_less_1(Vec x) {
  const Vec y = x * 0.69314718f;
  Vec r = 1.0f + y * (1.0f / 7.0f);
  for (int k = 6; k > 1; --k) r = 1.0f + y * r / static_cast<float>(k);
  return x > -0.5f ? y * r : exp2(x) - 1.0f;
}

// log2(x) to 1e-4, absolute, for normal positive x: enough to bound an ellipse.
GSDD_INLINE Vec log2_rough(Vec x) {
  const IntVec bits = (IntVec)x;
  const IntVec exponent = (bits >> 23) - 127;
  const Vec m = (Vec)((bits & 0x007fffff) | 0x3f800000);
  const Vec z = (m - 1.41421356f) / (m + 1.41421356f), zz = z * z;
  return __builtin_convertvector(exponent, Vec) + 0.5f + z * (2.88539008f + zz * (0.961796694f + zz * 0.577078016f));
}

GSDD_INLINE float sum(Vec v) {
  float total = 0.0f;
#if defined(__AVX512F__)
  total = _mm512_reduce_add_ps((__m512)v);
#else
  for (int i = 0; i < kLanes; ++i) total += v[i];
#endif
  return total;
}

GSDD_INLINE Vec count_up() {
  Vec v{};
  for (int i = 0; i < kLanes; ++i) v[i] = static_cast<float>(i);
  return v;
}

GSDD_INLINE Vec lane_columns() {
  Vec v{};
  for (int i = 0; i < kLanes; ++i) v[i] = static_cast<float>(i % kTileColumns);
  return v;
}

GSDD_INLINE Vec lane_rows() {
  Vec v{};
  for (int i = 0; i < kLanes; ++i) v[i] = static_cast<float>(i / kTileColumns);
  return v;
}

}  // namespace gsdd::cpu::GSDD_ISA
