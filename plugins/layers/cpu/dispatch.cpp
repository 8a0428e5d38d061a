// Chooses the steps that go with the splatting kernel's instruction set, and spreads them over the caller's pool.
#include <cstring>
#include <initializer_list>

#include "steps.h"

namespace gsdd {
namespace {

using cpu::Steps;

const Steps* choose() {
  const char* name = cpu_kernel_name();
  if (name == nullptr) return nullptr;
#if defined(__x86_64__)
  for (const Steps* steps : {&cpu::avx512::kSteps, &cpu::avx2::kSteps}) {
    if (std::strcmp(name, steps->name) == 0) return steps;
  }
#endif
  return &cpu::baseline::kSteps;
}

const Steps* steps() {
  static const Steps* const chosen = choose();
  return chosen;
}

// A part below this many numbers is not worth a thread.
constexpr int64_t kLeastNumbers = 1 << 14;

template <typename Params>
struct Call {
  void (*step)(const Params& params, int64_t begin, int64_t end);
  const Params& params;
};

template <typename Params>
Status spread(void (*Steps::*which)(const Params&, int64_t, int64_t), const Params& params, int64_t units,
              int64_t in_unit, const ParallelFor& parallel) {
  if (steps() == nullptr) return Status::kUnknownIsa;
  if (units == 0 || in_unit == 0) return Status::kOk;
  Call<Params> call{steps()->*which, params};
  const int64_t least = kLeastNumbers / in_unit, even = (units + parallel.threads - 1) / parallel.threads;
  parallel.run(
      parallel.pool, units, least > even ? least : even,
      [](void* context, int64_t begin, int64_t end) {
        const auto* made = static_cast<Call<Params>*>(context);
        made->step(made->params, begin, end);
      },
      &call);
  return Status::kOk;
}

}  // namespace

namespace layers {

Status norm_relu_pool(const NormReluPool& p, const ParallelFor& parallel) {
  return spread(&Steps::norm_relu_pool, p, p.batch, p.height * p.width * p.channels, parallel);
}

Status norm_relu_pool_backward(const NormReluPoolGrad& p, const ParallelFor& parallel) {
  return spread(&Steps::norm_relu_pool_backward, p, p.batch, p.height * p.width * p.channels, parallel);
}

Status winograd_read(const Winograd& p, const ParallelFor& parallel) {
  return spread(&Steps::winograd_read, p, p.batch * (p.height / 4) * (p.width / 4), 16 * p.channels, parallel);
}

Status winograd_write(const Winograd& p, const ParallelFor& parallel) {
  return spread(&Steps::winograd_write, p, p.batch * (p.height / 4) * (p.width / 4), 16 * p.channels, parallel);
}

Status convolved_block(const ConvolvedBlock& p, const ParallelFor& parallel) {
  return spread(&Steps::convolved_block, p, p.batch == 0 ? 0 : p.slots, kLeastNumbers, parallel);
}

Status convolved_planes(const Planes& p, const ParallelFor& parallel) {
  return spread(&Steps::convolved_planes, p, p.batch == 0 ? 0 : p.slots, kLeastNumbers, parallel);
}

Status convolved_planes_backward(const PlanesGrad& p, const ParallelFor& parallel) {
  return spread(&Steps::convolved_planes_backward, p, p.batch, made_of(p) * p.filters, parallel);
}

}  // namespace layers
}  // namespace gsdd
