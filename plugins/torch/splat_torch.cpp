// The torch door: torch.ops.gsdd.splat and splat_backward on the LibTorch stable ABI.
//
// Shapes and dtypes are checked here, before memory is sized from them; a kernel status becomes an exception.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <string>

#include "../splat/splat.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

gsdd::DType kernel_dtype(ScalarType type, const char* what) {
  switch (type) {
    case ScalarType::Float: return gsdd::DType::kFloat32;
    case ScalarType::Half: return gsdd::DType::kFloat16;
    case ScalarType::BFloat16: return gsdd::DType::kBFloat16;
    default: break;
  }
  STD_TORCH_CHECK(false, "gsdd::splat: ", what, " must be float32, float16 or bfloat16; use gsdd_runtime.reference for float64");
}

// The host's pool, through the stable ABI.
gsdd::ParallelFor torch_pool() {
  gsdd::ParallelFor parallel;
  parallel.run = [](void*, int64_t count, int64_t grain, gsdd::ParallelFor::Body body, void* context) {
    torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) { body(context, begin, end); });
  };
  parallel.threads = static_cast<int32_t>(torch::stable::get_num_threads());
  return parallel;
}

void check_gaussians(const Tensor& gaussians) {
  STD_TORCH_CHECK(gaussians.dim() == 3, "gsdd::splat: gaussians must be [batch, count, 6 + channels], got ",
                  gaussians.dim(), " dimensions");
  const int64_t channels = gaussians.size(2) - gsdd::kShapeParameters;
  STD_TORCH_CHECK(channels >= 1 && channels <= gsdd::kMaxChannels, "gsdd::splat: the last dimension must be 6 + channels with 1 to ",
                  gsdd::kMaxChannels, " channels, got ", gaussians.size(2));
}

int32_t side(int64_t value, int64_t limit, const char* name) {
  STD_TORCH_CHECK(value >= 1 && value <= limit, "gsdd::splat: ", name, " must be 1 to ", limit, ", got ", value);
  return static_cast<int32_t>(value);
}

template <typename Params>
void fill(Params* params, const Tensor& gaussians, int64_t height, int64_t width, int64_t native_height,
          int64_t native_width, int64_t supersample) {
  check_gaussians(gaussians);
  params->gaussians = gaussians.const_data_ptr();
  params->gaussian_dtype = kernel_dtype(gaussians.scalar_type(), "gaussians");
  params->batch = gaussians.size(0);
  params->count = gaussians.size(1);
  params->channels = static_cast<int32_t>(gaussians.size(2)) - gsdd::kShapeParameters;
  params->height = side(height, gsdd::kMaxSide, "height");
  params->width = side(width, gsdd::kMaxSide, "width");
  params->native_height = side(native_height, INT32_MAX, "native_height");
  params->native_width = side(native_width, INT32_MAX, "native_width");
  params->supersample = side(supersample, gsdd::kMaxSupersample, "supersample");
}

void raise_unless_ok(gsdd::Status status) {
  STD_TORCH_CHECK(status == gsdd::Status::kOk, "gsdd::splat: ", gsdd::message(status));
}

// A contiguous float32 copy of per-channel numbers, checked for their count.
Tensor channel_numbers(const Tensor& tensor, int64_t channels, const char* name) {
  STD_TORCH_CHECK(tensor.dim() == 1 && tensor.size(0) == channels && tensor.scalar_type() == ScalarType::Float,
                  "gsdd::splat: ", name, " must be float32 [", channels, "]");
  return torch::stable::contiguous(tensor);
}

Tensor splat(const Tensor& gaussians_in, int64_t height, int64_t width, int64_t native_height, int64_t native_width,
             int64_t supersample, std::optional<Tensor> mean, std::optional<Tensor> inverse_std,
             std::optional<ScalarType> dtype, bool channels_last) {
  const Tensor gaussians = torch::stable::contiguous(gaussians_in);
  gsdd::SplatParams params;
  fill(&params, gaussians, height, width, native_height, native_width, supersample);
  const ScalarType image_type = dtype.value_or(ScalarType::Float);
  params.image_dtype = kernel_dtype(image_type, "dtype");
  params.channels_last = channels_last;
  if (mean) mean = channel_numbers(*mean, params.channels, "mean");
  if (inverse_std) inverse_std = channel_numbers(*inverse_std, params.channels, "inverse_std");
  params.mean = mean ? static_cast<const float*>(mean->const_data_ptr()) : nullptr;
  params.inverse_std = inverse_std ? static_cast<const float*>(inverse_std->const_data_ptr()) : nullptr;
  const auto layout = channels_last ? torch::headeronly::MemoryFormat::ChannelsLast : torch::headeronly::MemoryFormat::Contiguous;
  Tensor images = torch::stable::empty({params.batch, params.channels, params.height, params.width}, image_type,
                                       std::nullopt, gaussians.device(), std::nullopt, layout);
  params.images = images.mutable_data_ptr();
  raise_unless_ok(gsdd::splat_cpu(params, torch_pool()));
  return images;
}

Tensor splat_backward(const Tensor& grad_images_in, const Tensor& gaussians_in, int64_t native_height,
                      int64_t native_width, int64_t supersample) {
  STD_TORCH_CHECK(grad_images_in.dim() == 4 && grad_images_in.scalar_type() == ScalarType::Float,
                  "gsdd::splat_backward: grad_images must be float32 [batch, channels, height, width]");
  const Tensor grad_images = torch::stable::contiguous(grad_images_in);
  const Tensor gaussians = torch::stable::contiguous(gaussians_in);
  gsdd::SplatGradParams params;
  fill(&params, gaussians, grad_images.size(2), grad_images.size(3), native_height, native_width, supersample);
  STD_TORCH_CHECK(grad_images.size(0) == params.batch && grad_images.size(1) == params.channels,
                  "gsdd::splat_backward: grad_images and gaussians differ in batch or channels");
  params.grad_images = static_cast<const float*>(grad_images.const_data_ptr());
  Tensor grad = torch::stable::empty({params.batch, params.count, gaussians.size(2)}, ScalarType::Float, std::nullopt,
                                     gaussians.device());
  params.grad_gaussians = static_cast<float*>(grad.mutable_data_ptr());
  raise_unless_ok(gsdd::splat_backward_cpu(params, torch_pool()));
  return grad;
}

// The instruction set that the CPU kernel chose.
std::string cpu_kernel() { return gsdd::cpu_kernel_name(); }

}  // namespace

STABLE_TORCH_LIBRARY(gsdd, m) {
  m.def("cpu_kernel() -> str");
  m.def(
      "splat(Tensor gaussians, SymInt height, SymInt width, SymInt native_height, SymInt native_width, "
      "int supersample=2, Tensor? mean=None, Tensor? inverse_std=None, ScalarType? dtype=None, "
      "bool channels_last=False) -> Tensor");
  m.def(
      "splat_backward(Tensor grad_images, Tensor gaussians, SymInt native_height, SymInt native_width, "
      "int supersample=2) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(gsdd, CompositeExplicitAutograd, m) { m.impl("cpu_kernel", TORCH_BOX(&cpu_kernel)); }

STABLE_TORCH_LIBRARY_IMPL(gsdd, CPU, m) {
  m.impl("splat", TORCH_BOX(&splat));
  m.impl("splat_backward", TORCH_BOX(&splat_backward));
}
