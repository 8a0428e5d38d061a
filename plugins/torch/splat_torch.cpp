// The torch door: torch.ops.gsdd, and its kernels for the CPU, on the LibTorch stable ABI.
#include <torch/csrc/stable/library.h>

#include <string>

#include "door.h"
#include "pool.h"

namespace {

using namespace gsdd::torch_door;

Tensor splat(const Tensor& gaussians, int64_t height, int64_t width, int64_t native_height, int64_t native_width,
             int64_t supersample, std::optional<Tensor> mean, std::optional<Tensor> inverse_std,
             std::optional<ScalarType> dtype, bool channels_last) {
  return render(gaussians,
                {height, width, native_height, native_width, supersample, mean, inverse_std, dtype, channels_last},
                [](const gsdd::SplatParams& params) { raise_unless_ok(gsdd::splat_cpu(params, torch_pool())); });
}

Tensor splat_backward(const Tensor& grad_images, const Tensor& gaussians, int64_t native_height, int64_t native_width,
                      int64_t supersample, std::optional<Tensor> scale) {
  return gather<false>(
      grad_images, gaussians, {native_height, native_width, supersample, scale},
      [](const gsdd::SplatGradParams& params) { raise_unless_ok(gsdd::splat_backward_cpu(params, torch_pool())); });
}

// The instruction set that the CPU kernel was chosen for.
std::string cpu_kernel() {
  const char* name = gsdd::cpu_kernel_name();
  if (name == nullptr) raise_unless_ok(gsdd::Status::kUnknownIsa);
  return name;
}

}  // namespace

STABLE_TORCH_LIBRARY(gsdd, m) {
  m.def("cpu_kernel() -> str");
  m.def(
      "splat(Tensor gaussians, SymInt height, SymInt width, SymInt native_height, SymInt native_width, "
      "int supersample=2, Tensor? mean=None, Tensor? inverse_std=None, ScalarType? dtype=None, "
      "bool channels_last=False) -> Tensor");
  m.def(
      "splat_backward(Tensor grad_images, Tensor gaussians, SymInt native_height, SymInt native_width, "
      "int supersample=2, Tensor? scale=None) -> Tensor");
  // splat from lists of the Gaussians that touch each tile of 32 x 32 pixels; CUDA only.
  m.def(
      "splat_tiles(Tensor gaussians, Tensor tile_offsets, Tensor ids, SymInt height, SymInt width, "
      "SymInt native_height, SymInt native_width, int supersample=2, Tensor? mean=None, Tensor? inverse_std=None, "
      "ScalarType? dtype=None, bool channels_last=False) -> Tensor");
  // What the CUDA kernels were compiled for; empty in a library without them.
  m.def("cuda_architectures() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(gsdd, CompositeExplicitAutograd, m) { m.impl("cpu_kernel", TORCH_BOX(&cpu_kernel)); }

STABLE_TORCH_LIBRARY_IMPL(gsdd, CPU, m) {
  m.impl("splat", TORCH_BOX(&splat));
  m.impl("splat_backward", TORCH_BOX(&splat_backward));
}
