// The kernel's entry points for GSDD_ISA: one instance for each number of channels.
#pragma once

#include "backward.h"
#include "forward.h"
#include "kernel.h"

namespace gsdd::cpu::GSDD_ISA {

// Subnormal numbers cost a hundred times what others do, and mean nothing to an image.
class FlushSubnormals {
 public:
  FlushSubnormals(const FlushSubnormals&) = delete;
#if defined(__x86_64__)
  FlushSubnormals() { _mm_setcsr(before_ | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  const unsigned before_ = _mm_getcsr();
#elif defined(__aarch64__)
  FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | uint64_t{1} << 24));
  }
  ~FlushSubnormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  uint64_t before_;
#else
  FlushSubnormals() {}
#endif
};

static void forward_any(const SplatParams& p, int32_t columns, int64_t begin, int64_t end) {
  const FlushSubnormals flush;
  switch (p.channels) {
    case 1:
      return forward<1>(p, columns, begin, end);
    case 2:
      return forward<2>(p, columns, begin, end);
    case 3:
      return forward<3>(p, columns, begin, end);
    default:
      return forward<4>(p, columns, begin, end);
  }
}

static void backward_any(const SplatGradParams& p, int64_t begin, int64_t end) {
  const FlushSubnormals flush;
  switch (p.channels) {
    case 1:
      return backward<1>(p, begin, end);
    case 2:
      return backward<2>(p, begin, end);
    case 3:
      return backward<3>(p, begin, end);
    default:
      return backward<4>(p, begin, end);
  }
}

#define GSDD_STRING_OF(name) #name
#define GSDD_STRING(name) GSDD_STRING_OF(name)

const Kernel kKernel = {GSDD_STRING(GSDD_ISA), kTileColumns, kPanelColumns, kPanelRows, forward_any, backward_any};

}  // namespace gsdd::cpu::GSDD_ISA
