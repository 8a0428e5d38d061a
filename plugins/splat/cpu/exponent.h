// Powers of two and logarithms to the base of two.
#pragma once

#include "simd.h"

namespace gsdd::cpu::GSDD_ISA {

// 2^x to 1.5e-7, relative, for x in [-126, 126]; beyond, any bits.
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
  return (Vec)((UnsignedVec)r + ((UnsignedVec)shifted << 23));
#endif
}

// 2^x to 1.5e-7, relative, for x in [-126, 126]; beyond, a number or infinity no nearer to 1 than at its end.
GSDD_INLINE Vec exp2(Vec x) {
#if defined(__AVX512F__)
  return exp2_between(x);
#else
  return exp2_between(maximum(minimum(x, vec(126.0f)), vec(-126.0f)));
#endif
}

// 2^x as above for x <= 0; 0 below -126.
GSDD_INLINE Vec exp2_or_0(Vec x) {
#if defined(__AVX512F__)
  return exp2_between(x);
#else
  return keep_ge(x, vec(-126.0f), exp2_between(x));
#endif
}

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

}  // namespace gsdd::cpu::GSDD_ISA
