// One instruction set's steps, as the dispatcher sees them: each does the units [begin, end) of its own.
#pragma once

#include "../layers.h"

namespace gsdd::cpu {

struct Steps {
  const char* name;
  // Images.
  void (*norm_relu_pool)(const layers::NormReluPool& params, int64_t begin, int64_t end);
  void (*norm_relu_pool_backward)(const layers::NormReluPoolGrad& params, int64_t begin, int64_t end);
  // Tiles.
  void (*winograd_read)(const layers::Winograd& params, int64_t begin, int64_t end);
  void (*winograd_write)(const layers::Winograd& params, int64_t begin, int64_t end);
  // Slots.
  void (*convolved_block)(const layers::ConvolvedBlock& params, int64_t begin, int64_t end);
  void (*convolved_planes)(const layers::Planes& params, int64_t begin, int64_t end);
  // Images.
  void (*convolved_planes_backward)(const layers::PlanesGrad& params, int64_t begin, int64_t end);
};

namespace baseline {
extern const Steps kSteps;
}
namespace avx2 {
extern const Steps kSteps;
}
namespace avx512 {
extern const Steps kSteps;
}

}  // namespace gsdd::cpu
