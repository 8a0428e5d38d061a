// Chooses the kernel for this processor, once, and spreads the work over the caller's pool.
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../splat.h"
#include "kernel.h"

namespace gsdd {
namespace {

using cpu::Kernel;

#if defined(__x86_64__)
bool supported(const Kernel& kernel) {
  // libgcc's answer includes whether the operating system saves the registers.
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
  return &kernel == &cpu::avx2::kKernel || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"));
}
#endif

// The best supported kernel, or the one that GSDD_CPU_ISA names where it is supported.
const Kernel& choose() {
  const Kernel* const* kernels = cpu::supported_kernels();
  const char* wanted = std::getenv("GSDD_CPU_ISA");
  for (int i = 0; wanted && kernels[i]; ++i) {
    if (std::strcmp(wanted, kernels[i]->name) == 0) return *kernels[i];
  }
  return *kernels[0];
}

const Kernel& kernel() {
  static const Kernel& chosen = choose();
  return chosen;
}

template <typename Params>
struct Task {
  const Params* params;
  void (*run)(const Params&, int64_t, int64_t);
};

template <typename Params>
void spread(const Params& params, void (*run)(const Params&, int64_t, int64_t), int64_t units, int64_t grain,
            const ParallelFor& parallel) {
  if (units == 0) return;
  Task<Params> task{&params, run};
  parallel.run(
      parallel.pool, units, grain,
      [](void* context, int64_t begin, int64_t end) {
        const auto& t = *static_cast<const Task<Params>*>(context);
        t.run(*t.params, begin, end);
      },
      &task);
}

}  // namespace

namespace cpu {

const Kernel* const* supported_kernels() {
  struct List {
    const Kernel* kernels[4] = {};
    List() {
      int count = 0;
#if defined(__x86_64__)
      for (const Kernel* kernel : {&avx512::kKernel, &avx2::kKernel}) {
        if (supported(*kernel)) kernels[count++] = kernel;
      }
#endif
      kernels[count] = &baseline::kKernel;
    }
  };
  static const List list;
  return list.kernels;
}

}  // namespace cpu

const char* cpu_kernel_name() { return kernel().name; }

Status splat_cpu(const SplatParams& params, const ParallelFor& parallel) {
  if (const Status status = check(params); status != Status::kOk) return status;
  const Kernel& k = kernel();
  const int64_t across = (params.width + k.panel_columns - 1) / k.panel_columns;
  const int64_t down = (params.height + k.panel_rows - 1) / k.panel_rows;
  spread(params, k.forward, params.batch * across * down, 1, parallel);
  return Status::kOk;
}

Status splat_backward_cpu(const SplatGradParams& params, const ParallelFor& parallel) {
  if (const Status status = check(params); status != Status::kOk) return status;
  spread(params, kernel().backward, params.batch * params.count, 4, parallel);
  return Status::kOk;
}

}  // namespace gsdd
