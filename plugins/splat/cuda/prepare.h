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

template <DType kDType>
GSDD_DEVICE float read_as(const void* numbers, int64_t index) {
  if constexpr (kDType == DType::kFloat32) return simt::load(static_cast<const float*>(numbers) + index);
  const uint16_t bits = simt::load(static_cast<const uint16_t*>(numbers) + index);
  return kDType == DType::kBFloat16 ? simt::from_bfloat16(bits) : simt::from_float16(bits);
}

template <DType kDType, int kCount>
GSDD_DEVICE void read_some(const void* numbers, int64_t first, int count, float* to) {
#pragma unroll
  for (int k = 0; k < kCount; ++k) to[k] = k < count ? read_as<kDType>(numbers, first + k) : 0.0f;
}

// `count` of kCount numbers from `first` on, and zeros. One branch on the dtype serves all of them.
template <int kCount>
GSDD_DEVICE void read(const Source& source, int64_t first, int count, float* to) {
  if (source.dtype == DType::kFloat32) {
    read_some<DType::kFloat32, kCount>(source.gaussians, first, count, to);
  } else if (source.dtype == DType::kBFloat16) {
    read_some<DType::kBFloat16, kCount>(source.gaussians, first, count, to);
  } else {
    read_some<DType::kFloat16, kCount>(source.gaussians, first, count, to);
  }
}

template <int kCount>
GSDD_DEVICE bool finite(const float* numbers) {
  bool all = true;
#pragma unroll
  for (int k = 0; k < kCount; ++k) all = all && fabsf(numbers[k]) <= 3.402823466e+38f;
  return all;
}

// A Gaussian's numbers but its colours: x, y, l11, l21, l22, and the opacity.
struct Shape {
  float numbers[5];
  float opacity;
};

// False where a number is not finite: such a Gaussian draws nothing.
GSDD_DEVICE bool read_shape(const Source& source, int64_t gaussian, Shape* shape) {
  const int64_t first = gaussian * (kShapeParameters + source.channels);
  read<5>(source, first, 5, shape->numbers);
  read<1>(source, first + 5 + source.channels, 1, &shape->opacity);
  return finite<5>(shape->numbers) && finite<1>(&shape->opacity);
}

// The colours, 0 where there are none; false as above.
template <int kColors>
GSDD_DEVICE bool read_colors(const Source& source, int64_t gaussian, float* color) {
  const int64_t first = gaussian * (kShapeParameters + source.channels) + 5;
  read<kColors>(source, first, kColors < 4 ? kColors : source.channels, color);
  return finite<kColors>(color);
}

}  // namespace gsdd::cuda
