// bfloat16 and float16 to float32 and back, rounding to nearest even.
#pragma once

#include <cstdint>

#include "../splat.h"
#include "simd.h"

namespace gsdd::cpu::GSDD_ISA {

GSDD_INLINE float float_of(uint32_t bits) { return __builtin_bit_cast(float, bits); }
GSDD_INLINE uint32_t bits_of(float value) { return __builtin_bit_cast(uint32_t, value); }

GSDD_INLINE float from_bfloat16(uint16_t bits) { return float_of(uint32_t{bits} << 16); }

GSDD_INLINE uint16_t to_bfloat16(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

GSDD_INLINE float from_float16(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16, exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
  if (exponent == 31) return float_of(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

GSDD_INLINE uint16_t to_float16(float value) {
  const uint32_t bits = bits_of(value), sign = (bits >> 16) & 0x8000u, rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (rest >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds to 65536 or more
  if (rest < 0x38800000u) {
    // Adding 0.5 leaves the subnormal's bits, rounded, at the end of the mantissa.
    const float shifted = float_of(rest) + 0.5f;
    return static_cast<uint16_t>(sign | (bits_of(shifted) - 0x3f000000u));
  }
  return static_cast<uint16_t>(sign | ((rest + 0xfffu + ((rest >> 13) & 1u) - (112u << 23)) >> 13));
}

GSDD_INLINE float load_number(const void* data, DType dtype, int64_t index) {
  if (dtype == DType::kFloat32) return static_cast<const float*>(data)[index];
  const uint16_t bits = static_cast<const uint16_t*>(data)[index];
  return dtype == DType::kBFloat16 ? from_bfloat16(bits) : from_float16(bits);
}

GSDD_INLINE void store_number(void* data, DType dtype, int64_t index, float value) {
  if (dtype == DType::kFloat32) {
    static_cast<float*>(data)[index] = value;
  } else {
    static_cast<uint16_t*>(data)[index] = dtype == DType::kBFloat16 ? to_bfloat16(value) : to_float16(value);
  }
}

}  // namespace gsdd::cpu::GSDD_ISA
