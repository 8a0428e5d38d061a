// Steps of the networks that embed images, on the CPU, where a framework's own walk the maps too often.
//
// Plain C++, no framework. Maps are float32 [batch, height, width, channels], contiguous; nothing is allocated and
// nothing thrown. Callers check shapes: sides that are whole pools or tiles, and no null pointer.
#pragma once

#include <cstdint>

#include "../splat/splat.h"

namespace gsdd::layers {

// avg_pool2d(relu(instance_norm(x) * weight + bias), 2), and what its gradient needs beside x.
struct NormReluPool {
  const float* x = nullptr;
  const float* weight = nullptr;                           // [channels]
  const float* bias = nullptr;                             // [channels]
  int64_t batch = 0, height = 0, width = 0, channels = 0;  // even sides
  float eps = 0;
  float* pooled = nullptr;   // [batch, height / 2, width / 2, channels]
  float* mean = nullptr;     // [batch, channels]
  float* inverse = nullptr;  // [batch, channels]: 1 / deviation
};

// Its gradient; those of weight and bias are each image's own, to be summed.
struct NormReluPoolGrad {
  const float* grad_pooled = nullptr;
  const float* x = nullptr;
  const float* mean = nullptr;
  const float* inverse = nullptr;
  const float* weight = nullptr;
  const float* bias = nullptr;
  int64_t batch = 0, height = 0, width = 0, channels = 0;
  float* grad_x = nullptr;
  float* grad_weight = nullptr;  // [batch, channels]
  float* grad_bias = nullptr;    // [batch, channels]
};

// Winograd's F(4 x 4, 3 x 3) around the products: Lavin and Gray, arXiv 1509.09308, section 4.3. `spread` is
// [36, batch * height / 4 * width / 4, channels], its planes `plane` numbers apart.
struct Winograd {
  int64_t batch = 0, height = 0, width = 0, channels = 0;  // sides that are multiples of 4
  const float* from = nullptr;                             // the map, zeros around it; or the spread products
  float* to = nullptr;                                     // spread; or the map
  int64_t plane = 0;
};

// Refuse a GSDD_CPU_ISA that is none, as the splatting kernel does.
Status norm_relu_pool(const NormReluPool& params, const ParallelFor& parallel);
Status norm_relu_pool_backward(const NormReluPoolGrad& params, const ParallelFor& parallel);
Status winograd_read(const Winograd& params, const ParallelFor& parallel);
Status winograd_write(const Winograd& params, const ParallelFor& parallel);

}  // namespace gsdd::layers
