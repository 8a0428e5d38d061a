// The kernel's entry points for GSDD_ISA: one instance for each number of channels.
#pragma once

#include "backward.h"
#include "forward.h"
#include "kernel.h"

namespace gsdd::cpu::GSDD_ISA {

static void forward_any(const SplatParams& p, int64_t begin, int64_t end) {
  switch (p.channels) {
    case 1:
      return forward<1>(p, begin, end);
    case 2:
      return forward<2>(p, begin, end);
    case 3:
      return forward<3>(p, begin, end);
    default:
      return forward<4>(p, begin, end);
  }
}

static void backward_any(const SplatGradParams& p, int64_t begin, int64_t end) {
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

const Kernel kKernel = {GSDD_STRING(GSDD_ISA), kPanelColumns, kPanelRows, forward_any, backward_any};

}  // namespace gsdd::cpu::GSDD_ISA
