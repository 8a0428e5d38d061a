// The steps' entry points for GSDD_ISA.
#pragma once

#include "norm_relu_pool.h"
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

#define GSDD_STRING_OF(name) #name
#define GSDD_STRING(name) GSDD_STRING_OF(name)

const Steps kSteps = {GSDD_STRING(GSDD_ISA), norm_relu_pool, norm_relu_pool_backward, winograd_read, winograd_write};

}  // namespace gsdd::cpu::GSDD_ISA
