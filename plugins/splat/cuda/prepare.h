// What the kernels share: their arguments, and reading and preparing one Gaussian.
#pragma once

#include "../splat.h"
#include "ellipse.h"
#include "simt.h"

namespace gsdd::cuda {

inline constexpr int kMaxParameters = kShapeParameters + kMaxChannels;
inline constexpr int kWarp = 32;
// A thread works on this many pixels of one row: their stores and loads are one vector.
inline constexpr int kRun = 4;

template <typename T>
GSDD_DEVICE T smaller(T a, T b) {
  return b < a ? b : a;
}

struct Source {
  const void* gaussians;  // [batch, count, 6 + channels]
  DType dtype;
  int32_t channels;
  Grid grid;
};

GSDD_DEVICE float read(const Source& source, int64_t index) {
  if (source.dtype == DType::kFloat32) return simt::load(static_cast<const float*>(source.gaussians) + index);
  const uint16_t bits = simt::load(static_cast<const uint16_t*>(source.gaussians) + index);
  return source.dtype == DType::kBFloat16 ? simt::from_bfloat16(bits) : simt::from_float16(bits);
}

// A Gaussian's numbers in fixed places: the shape in [0, 5), colours apart and 0 where there are none.
template <int kColors>
struct Parameters {
  float shape[5];
  float color[kColors];
  float opacity;
};

// False where a number is not finite: such a Gaussian draws nothing.
template <int kColors>
GSDD_DEVICE bool read_parameters(const Source& source, int64_t gaussian, Parameters<kColors>* p) {
  const int64_t first = gaussian * (kShapeParameters + source.channels);
  bool finite = true;
#pragma unroll
  for (int k = 0; k < 5; ++k) p->shape[k] = read(source, first + k);
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
    p->color[c] = kColors < 4 || c < source.channels ? read(source, first + 5 + c) : 0.0f;
  }
  p->opacity = read(source, first + 5 + source.channels);
#pragma unroll
  for (int k = 0; k < 5; ++k) finite = finite && fabsf(p->shape[k]) <= 3.402823466e+38f;
#pragma unroll
  for (int c = 0; c < kColors; ++c) finite = finite && fabsf(p->color[c]) <= 3.402823466e+38f;
  return finite && fabsf(p->opacity) <= 3.402823466e+38f;
}

}  // namespace gsdd::cuda
