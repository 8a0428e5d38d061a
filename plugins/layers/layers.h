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

// A 3 x 3 convolution without its bias, instance norm, ReLU and a 2 x 2 average pool, without what a gradient needs.
// By plain sums of planes, or by Winograd's tiles of a map.
struct ConvolvedBlock {
  bool by_tiles = false;
  const float* x = nullptr;       // [batch, channels, height, width]; by tiles [batch, height, width, channels]
  const float* kernel = nullptr;  // [channels, 3, 3, filters]; by tiles [36, channels, filters], of multiples of 16
  const float* weight = nullptr;  // [filters], of the norm
  const float* bias = nullptr;
  int64_t batch = 0, height = 0, width = 0, channels = 0, filters = 0;
  int64_t padding = 1;  // by tiles 1
  float eps = 0;
  float* pooled = nullptr;   // [batch, half the map's height, half its width, filters], rounded down
  float* scratch = nullptr;  // [slots, scratch_of(*this)]
  int64_t slots = 0;         // parts of the batch that may be worked on at a time
};

// Numbers of an image's planes with zeros around them, and places of the map that comes of them.
template <typename Params>
inline int64_t padded_of(const Params& p) {
  return p.channels * (p.height + 2 * p.padding) * (p.width + 2 * p.padding);
}
template <typename Params>
inline int64_t made_of(const Params& p) {
  return (p.height + 2 * p.padding - 2) * (p.width + 2 * p.padding - 2);
}

inline int64_t tiles_of(const ConvolvedBlock& p) { return (p.height + 3) / 4 * ((p.width + 3) / 4); }

// So many that a walk over the kernel serves sixteen tiles or more.
inline int64_t images_at_once(const ConvolvedBlock& p) { return (15 + tiles_of(p)) / tiles_of(p); }

// Numbers.
inline int64_t scratch_of(const ConvolvedBlock& p) {
  if (p.by_tiles) {
    const int64_t images = images_at_once(p), rows = images * tiles_of(p) + 1;
    return 36 * rows * (p.channels + p.filters) + images * p.height * p.width * p.filters + 2 * p.filters;
  }
  return padded_of(p) + made_of(p) * p.filters + 2 * p.filters;
}

// A 3 x 3 convolution of few channels without its bias, by plain sums.
struct Planes {
  const float* x = nullptr;                                             // [batch, channels, height, width]
  const float* kernel = nullptr;                                        // [channels, 3, 3, filters]
  int64_t batch = 0, height = 0, width = 0, channels = 0, filters = 0;  // filters: a multiple of 16
  int64_t padding = 1;
  float* map = nullptr;      // [batch, height + 2 padding - 2, width + 2 padding - 2, filters]
  float* scratch = nullptr;  // [slots, channels, height + 2 padding, width + 2 padding]
  int64_t slots = 0;
};

// Its gradient in x.
struct PlanesGrad {
  const float* grad_map = nullptr;
  const float* kernel = nullptr;
  int64_t batch = 0, height = 0, width = 0, channels = 0, filters = 0;
  int64_t padding = 1;
  float* grad_x = nullptr;
};

// Refuse a GSDD_CPU_ISA that is none, as the splatting kernel does.
Status norm_relu_pool(const NormReluPool& params, const ParallelFor& parallel);
Status norm_relu_pool_backward(const NormReluPoolGrad& params, const ParallelFor& parallel);
Status winograd_read(const Winograd& params, const ParallelFor& parallel);
Status winograd_write(const Winograd& params, const ParallelFor& parallel);
Status convolved_block(const ConvolvedBlock& params, const ParallelFor& parallel);
Status convolved_planes(const Planes& params, const ParallelFor& parallel);
Status convolved_planes_backward(const PlanesGrad& params, const ParallelFor& parallel);

}  // namespace gsdd::layers
