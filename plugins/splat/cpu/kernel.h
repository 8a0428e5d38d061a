// One instruction set's kernel, as the dispatcher sees it.
#pragma once

#include "../splat.h"

namespace gsdd::cpu {

struct Kernel {
  const char* name;
  // A panel of the forward pass is panel_rows high and, as is asked, 1, 2 or more strips wide, up to panel_columns.
  int32_t strip_columns, panel_columns, panel_rows;
  // Draws panels, image after image.
  void (*forward)(const SplatParams& params, int32_t columns, int64_t begin, int64_t end);
  // Gathers for Gaussians, image after image.
  void (*backward)(const SplatGradParams& params, int64_t begin, int64_t end);
};

// Those that this processor and operating system can run, the best first; null behind the last.
const Kernel* const* supported_kernels();

namespace baseline {
extern const Kernel kKernel;
}
namespace avx2 {
extern const Kernel kKernel;
}
namespace avx512 {
extern const Kernel kKernel;
}

}  // namespace gsdd::cpu
