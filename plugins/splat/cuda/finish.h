// A thread's finished pixels on their way into the image.
#pragma once

#include "forward_args.h"

namespace gsdd::cuda {

template <DType kDType>
GSDD_DEVICE void store_one(const ForwardArgs& args, int64_t index, float value) {
  if constexpr (kDType == DType::kFloat32) {
    static_cast<float*>(args.images)[index] = value;
  } else {
    static_cast<uint16_t*>(args.images)[index] =
        kDType == DType::kBFloat16 ? simt::to_bfloat16(value) : simt::to_float16(value);
  }
}

// Four neighbouring numbers at an index that is a multiple of four.
template <DType kDType>
GSDD_DEVICE void store_four(const ForwardArgs& args, int64_t index, float a, float b, float c, float d) {
  if constexpr (kDType == DType::kFloat32) {
    simt::store4(static_cast<float*>(args.images) + index, {a, b, c, d});
  } else if constexpr (kDType == DType::kBFloat16) {
    simt::store4(static_cast<uint16_t*>(args.images) + index, simt::to_bfloat16(a), simt::to_bfloat16(b),
                 simt::to_bfloat16(c), simt::to_bfloat16(d));
  } else {
    simt::store4(static_cast<uint16_t*>(args.images) + index, simt::to_float16(a), simt::to_float16(b),
                 simt::to_float16(c), simt::to_float16(d));
  }
}

template <int kColors, DType kDType>
GSDD_DEVICE void store_run(const ForwardArgs& args, int64_t image, int x, int y, const float (*sums)[kColors]) {
  const int channels = kColors < 4 ? kColors : args.source.channels;
  const int64_t row = image * args.height + y;
  if (args.channels_last) {
    const int64_t first = (row * args.width + x) * channels;
    if (args.wide_stores && kColors < 4) {
      float flat[kRun * kColors];
#pragma unroll
      for (int i = 0; i < kRun * kColors; ++i) flat[i] = sums[i / kColors][i % kColors];
#pragma unroll
      for (int i = 0; i < kRun * kColors; i += 4) {
        store_four<kDType>(args, first + i, flat[i], flat[i + 1], flat[i + 2], flat[i + 3]);
      }
      return;
    }
#pragma unroll
    for (int k = 0; k < kRun; ++k) {
#pragma unroll
      for (int c = 0; c < kColors; ++c) {
        if (x + k < args.width && c < channels) store_one<kDType>(args, first + k * channels + c, sums[k][c]);
      }
    }
    return;
  }
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
    if (kColors == 4 && c >= channels) break;
    const int64_t first = ((image * channels + c) * args.height + y) * args.width + x;
    if (args.wide_stores) {
      store_four<kDType>(args, first, sums[0][c], sums[1][c], sums[2][c], sums[3][c]);
    } else {
#pragma unroll
      for (int k = 0; k < kRun; ++k) {
        if (x + k < args.width) store_one<kDType>(args, first + k, sums[k][c]);
      }
    }
  }
}

// Normalises a thread's pixels and writes them. One branch on the dtype serves all of them.
template <int kColors>
GSDD_DEVICE void finish(const ForwardArgs& args, int64_t image, int x, int y, float (*sums)[kColors]) {
  const int channels = kColors < 4 ? kColors : args.source.channels;
#pragma unroll
  for (int c = 0; c < kColors; ++c) {
    if (kColors == 4 && c >= channels) break;
    const float mean = args.mean != nullptr ? simt::load(args.mean + c) : 0.0f;
    const float scale = args.inverse_std != nullptr ? simt::load(args.inverse_std + c) : 1.0f;
#pragma unroll
    for (int k = 0; k < kRun; ++k) sums[k][c] = (sums[k][c] - mean) * scale;
  }
  if (args.image_dtype == DType::kFloat32) {
    store_run<kColors, DType::kFloat32>(args, image, x, y, sums);
  } else if (args.image_dtype == DType::kBFloat16) {
    store_run<kColors, DType::kBFloat16>(args, image, x, y, sums);
  } else {
    store_run<kColors, DType::kFloat16>(args, image, x, y, sums);
  }
}

}  // namespace gsdd::cuda
