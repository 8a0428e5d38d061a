// The CUDA side of a torch door that was built without CUDA: it says so, and what to do.
#include <torch/csrc/stable/library.h>

#include "door.h"

namespace {

using namespace gsdd::torch_door;

constexpr const char* kRemedy =
    ": this build of gsdd-rt has no CUDA kernel. Install the CUDA toolkit (nvcc) and run `make build` in a checkout "
    "(docs/building.md), or move the tensors to the CPU";

Tensor splat(const Tensor&, int64_t, int64_t, int64_t, int64_t, int64_t, std::optional<Tensor>, std::optional<Tensor>,
             std::optional<ScalarType>, bool) {
  STD_TORCH_CHECK(false, "gsdd::splat", kRemedy);
}

Tensor splat_tiles(const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t, int64_t, int64_t, int64_t,
                   std::optional<Tensor>, std::optional<Tensor>, std::optional<ScalarType>, bool) {
  STD_TORCH_CHECK(false, "gsdd::splat_tiles", kRemedy);
}

Tensor splat_backward(const Tensor&, const Tensor&, int64_t, int64_t, int64_t, std::optional<Tensor>) {
  STD_TORCH_CHECK(false, "gsdd::splat_backward", kRemedy);
}

std::string cuda_architectures() { return ""; }

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(gsdd, CompositeExplicitAutograd, m) {
  m.impl("cuda_architectures", TORCH_BOX(&cuda_architectures));
}

STABLE_TORCH_LIBRARY_IMPL(gsdd, CUDA, m) {
  m.impl("splat", TORCH_BOX(&splat));
  m.impl("splat_tiles", TORCH_BOX(&splat_tiles));
  m.impl("splat_backward", TORCH_BOX(&splat_backward));
}
