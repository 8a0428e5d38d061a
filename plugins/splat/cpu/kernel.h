// One instruction set's kernel, as the dispatcher sees it.
#pragma once

#include "../splat.h"

namespace gsdd::cpu {

struct Kernel {
  const char* name;
  int32_t panel_columns, panel_rows;                                            // of the forward pass
  void (*forward)(const SplatParams& params, int64_t begin, int64_t end);       // panels, image after image
  void (*backward)(const SplatGradParams& params, int64_t begin, int64_t end);  // Gaussians, image after image
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
