// The steps' entry points for GSDD_ISA.
#pragma once

#include "convolved_block.h"
#include "norm_relu_pool.h"
#include "planes_grad.h"
#include "steps.h"
#include "winograd.h"

namespace gsdd::cpu::GSDD_ISA {

static void norm_relu_pool(const layers::NormReluPool& p, int64_t begin, int64_t end) {
  for (int64_t image = begin; image < end; ++image) {
    each_block<4>(p.channels, [&](auto access, int64_t channel) { normed(p, access, image, channel); });
  }
}

static void norm_relu_pool_backward(const layers::NormReluPoolGrad& p, int64_t begin, int64_t end) {
  for (int64_t image = begin; image < end; ++image) {
    each_block<2>(p.channels, [&](auto access, int64_t channel) { normed_grad(p, access, image, channel); });
  }
}

static void winograd_read(const layers::Winograd& p, int64_t begin, int64_t end) {
  for (int64_t tile = begin; tile < end; ++tile) {
    each_block<1>(p.channels, [&](auto access, int64_t channel) { tile_read(p, access, tile, channel); });
  }
}

static void winograd_write(const layers::Winograd& p, int64_t begin, int64_t end) {
  for (int64_t tile = begin; tile < end; ++tile) {
    each_block<1>(p.channels, [&](auto access, int64_t channel) { tile_write(p, access, tile, channel); });
  }
}

// run(first image, last image, scratch) for each of the slots.
template <typename Params, typename Run>
GSDD_INLINE void each_slot(const Params& p, int64_t begin, int64_t end, int64_t in_slot, Run&& run) {
  for (int64_t slot = begin; slot < end; ++slot) {
    run(p.batch * slot / p.slots, p.batch * (slot + 1) / p.slots, p.scratch + slot * in_slot);
  }
}

static void convolved_block(const layers::ConvolvedBlock& p, int64_t begin, int64_t end) {
  each_slot(p, begin, end, layers::scratch_of(p), [&](int64_t first, int64_t last, float* scratch) {
    p.by_tiles ? tiles_block(p, first, last, scratch) : planes_block(p, first, last, scratch);
  });
}

static void convolved_planes(const layers::Planes& p, int64_t begin, int64_t end) {
  each_slot(p, begin, end, layers::padded_of(p), [&](int64_t first, int64_t last, float* scratch) {
    for (int64_t image = first; image < last; ++image) {
      pad_planes(p, image, scratch);
      convolve_planes(p, scratch, p.map + image * layers::made_of(p) * p.filters);
    }
  });
}

static void convolved_planes_backward(const layers::PlanesGrad& p, int64_t begin, int64_t end) {
  for (int64_t image = begin; image < end; ++image) planes_grad(p, image);
}

#define GSDD_STRING_OF(name) #name
#define GSDD_STRING(name) GSDD_STRING_OF(name)

const Steps kSteps = {
    GSDD_STRING(GSDD_ISA), norm_relu_pool,  norm_relu_pool_backward, winograd_read,
    winograd_write,        convolved_block, convolved_planes,        convolved_planes_backward,
};

}  // namespace gsdd::cpu::GSDD_ISA
