// What a launch of the backward kernel is told, and the image's gradient as it comes: its dtype, its layout, its scale.
#pragma once

#include "prepare.h"

namespace gsdd::cuda {

inline constexpr int kBackwardThreads = 128;
inline constexpr int kMaxSums = 6 + kMaxChannels;

struct BackwardArgs {
  Source source;
  int64_t gaussians;  // in the batch
  int64_t count;      // per image
  int32_t height, width, supersample;
  int32_t sharing;  // warps that share one Gaussian: 1, or all of the block
  bool wide_loads;  // four pixels of a row are always inside the image together, and aligned
  const void* grad_images;
  DType grad_dtype;
  bool channels_last;
  const float* scale;  // [channels], or null
  float* grad_gaussians;
};

template <DType kDType>
GSDD_DEVICE void load_four(const void* numbers, int64_t first, float* to) {
  if constexpr (kDType == DType::kFloat32) {
    const simt::Float4 four = simt::load4(static_cast<const float*>(numbers) + first);
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
  } else {
    const auto four = simt::load4(static_cast<const uint16_t*>(numbers) + first);
    const unsigned words[2] = {four.x, four.y};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const uint16_t bits = static_cast<uint16_t>(words[k / 2] >> (k % 2 * 16));
      to[k] = kDType == DType::kBFloat16 ? simt::from_bfloat16(bits) : simt::from_float16(bits);
    }
  }
}

template <int kColors, DType kDType>
GSDD_DEVICE void load_as(const BackwardArgs& args, int64_t image, int x, int y, float (*grad)[kRun]) {
  const int channels = kColors < 4 ? kColors : args.source.channels;
  const int64_t row = image * args.height + y;
  if (args.channels_last) {
    const int64_t first = (row * args.width + x) * channels;
    if (args.wide_loads && kColors < 4) {
      float flat[kRun * kColors];
#pragma unroll
      for (int i = 0; i < kRun * kColors; i += 4) load_four<kDType>(args.grad_images, first + i, flat + i);
#pragma unroll
      for (int i = 0; i < kRun * kColors; ++i) grad[i % kColors][i / kColors] = flat[i];
      return;
    }
#pragma unroll
    for (int c = 0; c < kColors; ++c) {
#pragma unroll
      for (int k = 0; k < kRun; ++k) {
        const bool there = c < channels && x + k < args.width;
        grad[c][k] = there ? read_as<kDType>(args.grad_images, first + k * channels + c) : 0.0f;
      }
    }
    return;
  }
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
    const int64_t first = ((image * channels + c) * args.height + y) * args.width + x;
    if (args.wide_loads && c < channels) {
      load_four<kDType>(args.grad_images, first, grad[c]);
    } else {
#pragma unroll
      for (int k = 0; k < kRun; ++k) {
        const bool there = c < channels && x + k < args.width;
        grad[c][k] = there ? read_as<kDType>(args.grad_images, first + k) : 0.0f;
      }
    }
  }
}

// dL/dpixel over the scale for the cell of pixels (x .. x + 3, y); 0 outside the image. One branch on the dtype serves
// all of them.
template <int kColors>
GSDD_DEVICE void load_gradients(const BackwardArgs& args, int64_t image, int x, int y, float (*grad)[kRun]) {
  if (args.grad_dtype == DType::kFloat32) {
    load_as<kColors, DType::kFloat32>(args, image, x, y, grad);
  } else if (args.grad_dtype == DType::kBFloat16) {
    load_as<kColors, DType::kBFloat16>(args, image, x, y, grad);
  } else {
    load_as<kColors, DType::kFloat16>(args, image, x, y, grad);
  }
}

GSDD_DEVICE float scale_of(const BackwardArgs& args, int channel) {
  return args.scale != nullptr && channel < args.source.channels ? simt::load(args.scale + channel) : 1.0f;
}

}  // namespace gsdd::cuda
