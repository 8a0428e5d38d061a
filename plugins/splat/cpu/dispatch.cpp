// Chooses the kernel for this processor, once, and spreads the work over the caller's pool.
#include <cstdlib>
#include <cstring>

#include "../splat.h"
#include "kernel.h"

namespace gsdd {
namespace {

using cpu::Kernel;

bool supported(const Kernel& kernel) {
#if defined(__x86_64__)
  // libgcc's answer includes whether the operating system saves the registers.
  __builtin_cpu_init();
  if (&kernel == &cpu::avx512::kKernel) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("fma");
  }
  if (&kernel == &cpu::avx2::kKernel) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return &kernel == &cpu::baseline::kKernel;
}

// The best supported kernel, or the one that GSDD_CPU_ISA names where it is supported.
const Kernel& choose() {
#if defined(__x86_64__)
  const Kernel* const kernels[] = {&cpu::avx512::kKernel, &cpu::avx2::kKernel, &cpu::baseline::kKernel};
#else
  const Kernel* const kernels[] = {&cpu::baseline::kKernel};
#endif
  const char* wanted = std::getenv("GSDD_CPU_ISA");
  for (const Kernel* kernel : kernels) {
    if (wanted && std::strcmp(wanted, kernel->name) == 0 && supported(*kernel)) return *kernel;
  }
  for (const Kernel* kernel : kernels) {
    if (supported(*kernel)) return *kernel;
  }
  return cpu::baseline::kKernel;
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
