// Chooses the kernel for this processor, once, and spreads the work over the caller's pool.
#include <atomic>
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

// The best supported kernel, or the one that GSDD_CPU_ISA names where it is supported; null for a name of none.
const Kernel* choose() {
  const Kernel* const* kernels = cpu::supported_kernels();
  const char* wanted = std::getenv("GSDD_CPU_ISA");
  if (!wanted || !*wanted) return kernels[0];
  for (int i = 0; kernels[i]; ++i) {
    if (std::strcmp(wanted, kernels[i]->name) == 0) return kernels[i];
  }
  for (const char* known : {"baseline", "avx2", "avx512"}) {
    if (std::strcmp(wanted, known) == 0) return kernels[0];
  }
  return nullptr;
}

const Kernel* kernel() {
  static const Kernel* const chosen = choose();
  return chosen;
}

// The work of one thread, or of several where there are more than shares, which they take a chunk at a time, and that
// of others when theirs is done: one that is slow holds up nobody, and the rest write where they wrote before.
struct alignas(64) Share {
  std::atomic<int64_t> next;
  int64_t end;
};
constexpr int kMostShares = 64;

template <typename Run>
struct Task {
  const Run& run;
  int64_t chunk;
  int shares;
  Share of[kMostShares];
};

template <typename Run>
void work(Task<Run>* task, int64_t first) {
  for (int k = 0; k < task->shares; ++k) {
    Share& share = task->of[(first + k) % task->shares];
    for (int64_t begin; (begin = share.next.fetch_add(task->chunk, std::memory_order_relaxed)) < share.end;) {
      task->run(begin, begin + task->chunk < share.end ? begin + task->chunk : share.end);
    }
  }
}

// Runs run(begin, end) on parts of [0, units): whole chunks, but for the last.
template <typename Run>
void spread(const Run& run, int64_t units, int64_t chunk, const ParallelFor& parallel) {
  if (units == 0) return;
  const int64_t chunks = (units + chunk - 1) / chunk;
  Task<Run> task{run, chunk, 1, {}};
  const int64_t threads = parallel.threads < chunks ? parallel.threads : chunks, workers = threads > 1 ? threads : 1;
  task.shares = static_cast<int>(workers < kMostShares ? workers : kMostShares);
  for (int k = 0; k < task.shares; ++k) {
    const int64_t end = chunks * (k + 1) / task.shares * chunk;
    task.of[k].next = chunks * k / task.shares * chunk;
    task.of[k].end = end < units ? end : units;
  }
  parallel.run(
      parallel.pool, workers, 1,
      [](void* context, int64_t begin, int64_t) { work(static_cast<Task<Run>*>(context), begin); }, &task);
}

// Units of a chunk, where an image has `in_image` and is worked off in at least `parts` of them: small enough that
// threads end together, and whole images where there are many, since a chunk begins by placing its image's Gaussians.
int64_t chunk_of(int64_t batch, int64_t in_image, int64_t parts, int32_t threads) {
  constexpr int64_t kChunks = 16;  // that a thread takes
  const int64_t images = batch / (kChunks * threads);
  if (images > 0) return images * in_image;
  const int64_t even = batch * in_image / (kChunks * threads), least = in_image / parts;
  return even > least ? even : least > 0 ? least : 1;
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

const char* cpu_kernel_name() { return kernel() ? kernel()->name : nullptr; }

Status splat_cpu(const SplatParams& params, const ParallelFor& parallel) {
  if (const Status status = check(params); status != Status::kOk) return status;
  if (!kernel()) return Status::kUnknownIsa;
  const Kernel& k = *kernel();
  const int64_t down = (params.height + k.panel_rows - 1) / k.panel_rows;
  int32_t columns = k.panel_columns;
  const auto in_image = [&] { return (params.width + columns - 1) / columns * down; };
  // Few images: their strips are spread.
  while (columns > k.strip_columns && params.batch * in_image() < 4 * int64_t{parallel.threads}) columns /= 2;
  spread([&](int64_t begin, int64_t end) { k.forward(params, columns, begin, end); }, params.batch * in_image(),
         chunk_of(params.batch, in_image(), in_image(), parallel.threads), parallel);
  return Status::kOk;
}

Status splat_backward_cpu(const SplatGradParams& params, const ParallelFor& parallel) {
  if (const Status status = check(params); status != Status::kOk) return status;
  if (params.grad_dtype != DType::kFloat32 || params.channels_last || params.scale != nullptr) return Status::kBadDType;
  if (!kernel()) return Status::kUnknownIsa;
  // A chunk copies its image's gradient: few chunks to an image.
  spread([&, run = kernel()->backward](int64_t begin, int64_t end) { run(params, begin, end); },
         params.batch * params.count,
         chunk_of(params.batch, params.count, 2 * int64_t{parallel.threads}, parallel.threads), parallel);
  return Status::kOk;
}

}  // namespace gsdd
