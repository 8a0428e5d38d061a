// What the torch ops do on every processor: check the arguments before memory is sized from them, fill the kernel's
// parameters, call its launcher, and turn its status into an exception. LibTorch stable ABI only.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <array>
#include <optional>

#include "../splat/splat.h"

namespace gsdd::torch_door {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline gsdd::DType kernel_dtype(ScalarType type, const char* what) {
  switch (type) {
    case ScalarType::Float:
      return gsdd::DType::kFloat32;
    case ScalarType::Half:
      return gsdd::DType::kFloat16;
    case ScalarType::BFloat16:
      return gsdd::DType::kBFloat16;
    default:
      break;
  }
  STD_TORCH_CHECK(false, "gsdd::splat: ", what,
                  " must be float32, float16 or bfloat16; use gsdd_runtime.splatting.reference for float64");
}

inline void check_gaussians(const Tensor& gaussians) {
  STD_TORCH_CHECK(gaussians.dim() == 3, "gsdd::splat: gaussians must be [batch, count, 6 + channels], got ",
                  gaussians.dim(), " dimensions");
  const int64_t channels = gaussians.size(2) - gsdd::kShapeParameters;
  STD_TORCH_CHECK(channels >= 1 && channels <= gsdd::kMaxChannels,
                  "gsdd::splat: the last dimension must be 6 + channels with 1 to ", gsdd::kMaxChannels,
                  " channels, got ", gaussians.size(2));
}

inline int32_t side(int64_t value, int64_t limit, const char* name) {
  STD_TORCH_CHECK(value >= 1 && value <= limit, "gsdd::splat: ", name, " must be 1 to ", limit, ", got ", value);
  return static_cast<int32_t>(value);
}

template <typename Params>
inline void fill(Params* params, const Tensor& gaussians, int64_t height, int64_t width, int64_t native_height,
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

inline void raise_unless_ok(gsdd::Status status) {
  STD_TORCH_CHECK(status == gsdd::Status::kOk, "gsdd::splat: ", gsdd::message(status));
}

inline void check_device(const Tensor& tensor, const Tensor& gaussians, const char* name) {
  STD_TORCH_CHECK(tensor.device() == gaussians.device(), "gsdd::splat: ", name,
                  " and gaussians must be on the same device");
}

// The tensor itself where it is contiguous; torch::stable::contiguous asks the dispatcher, by name.
inline Tensor dense(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// A contiguous float32 copy of per-channel numbers, checked for their count.
inline Tensor channel_numbers(const Tensor& tensor, const Tensor& gaussians, int64_t channels, const char* name) {
  check_device(tensor, gaussians, name);
  STD_TORCH_CHECK(tensor.dim() == 1 && tensor.size(0) == channels && tensor.scalar_type() == ScalarType::Float,
                  "gsdd::splat: ", name, " must be float32 [", channels, "]");
  return dense(tensor);
}

// The arguments of torch.ops.gsdd.splat that are no tensors of Gaussians.
struct ImageOptions {
  int64_t height, width, native_height, native_width, supersample;
  std::optional<Tensor> mean, inverse_std;
  std::optional<ScalarType> dtype;
  bool channels_last;
};

// Images in new memory on the Gaussians' device; `launch` takes SplatParams and raises what goes wrong.
template <typename Launch>
Tensor render(const Tensor& gaussians_in, ImageOptions options, Launch&& launch) {
  const Tensor gaussians = dense(gaussians_in);
  gsdd::SplatParams params;
  fill(&params, gaussians, options.height, options.width, options.native_height, options.native_width,
       options.supersample);
  const ScalarType image_type = options.dtype.value_or(ScalarType::Float);
  params.image_dtype = kernel_dtype(image_type, "dtype");
  params.channels_last = options.channels_last;
  if (options.mean) options.mean = channel_numbers(*options.mean, gaussians, params.channels, "mean");
  if (options.inverse_std) {
    options.inverse_std = channel_numbers(*options.inverse_std, gaussians, params.channels, "inverse_std");
  }
  params.mean = options.mean ? static_cast<const float*>(options.mean->const_data_ptr()) : nullptr;
  params.inverse_std = options.inverse_std ? static_cast<const float*>(options.inverse_std->const_data_ptr()) : nullptr;
  const auto layout = options.channels_last ? torch::headeronly::MemoryFormat::ChannelsLast
                                            : torch::headeronly::MemoryFormat::Contiguous;
  Tensor images = torch::stable::empty({params.batch, params.channels, params.height, params.width}, image_type,
                                       std::nullopt, gaussians.device(), std::nullopt, layout);
  params.images = images.mutable_data_ptr();
  launch(params);
  return images;
}

// Whether a [batch, channels, height, width] tensor lies dense with its channels last.
inline bool is_channels_last(const Tensor& t) {
  const auto stride = t.strides();
  return stride[1] == 1 && stride[3] == t.size(1) && stride[2] == t.size(3) * t.size(1) &&
         stride[0] == t.size(2) * t.size(3) * t.size(1);
}

// The image's gradient as the launcher for the CPU takes it: contiguous, float32, scaled.
inline Tensor plain_gradient(const Tensor& grad_images, const std::optional<Tensor>& scale) {
  Tensor plain = torch::stable::to(grad_images, ScalarType::Float);
  if (scale) {
    const Tensor factors = torch::stable::view(*scale, {1, scale->size(0), 1, 1});
    std::array<StableIValue, 2> stack{torch::stable::detail::from(plain), torch::stable::detail::from(factors)};
    STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::mul", "Tensor", stack.data(), TORCH_ABI_VERSION));
    plain = torch::stable::detail::to<Tensor>(stack[0]);
  }
  return dense(plain);
}

// The arguments of torch.ops.gsdd.splat_backward behind its two tensors.
struct GradientOptions {
  int64_t native_height, native_width, supersample;
  std::optional<Tensor> scale;
};

// The gradient in new memory on the Gaussians' device; `launch` takes SplatGradParams. kAsItIs: in what dtype, layout
// and scale the image's gradient comes; otherwise it is made plain first.
template <bool kAsItIs, typename Launch>
Tensor gather(const Tensor& grad_images_in, const Tensor& gaussians_in, GradientOptions options, Launch&& launch) {
  STD_TORCH_CHECK(grad_images_in.dim() == 4,
                  "gsdd::splat_backward: grad_images must be [batch, channels, height, width]");
  check_device(grad_images_in, gaussians_in, "grad_images");
  const Tensor gaussians = dense(gaussians_in);
  gsdd::SplatGradParams params;
  params.grad_dtype = kernel_dtype(grad_images_in.scalar_type(), "grad_images");
  fill(&params, gaussians, grad_images_in.size(2), grad_images_in.size(3), options.native_height, options.native_width,
       options.supersample);
  STD_TORCH_CHECK(grad_images_in.size(0) == params.batch && grad_images_in.size(1) == params.channels,
                  "gsdd::splat_backward: grad_images and gaussians differ in batch or channels");
  if (options.scale) options.scale = channel_numbers(*options.scale, gaussians, params.channels, "scale");
  Tensor grad_images = grad_images_in;
  if constexpr (kAsItIs) {
    params.channels_last = !grad_images_in.is_contiguous() && is_channels_last(grad_images_in);
    if (!params.channels_last) grad_images = dense(grad_images_in);
    if (options.scale) params.scale = static_cast<const float*>(options.scale->const_data_ptr());
  } else {
    grad_images = plain_gradient(grad_images_in, options.scale);
    params.grad_dtype = gsdd::DType::kFloat32;
  }
  params.grad_images = grad_images.const_data_ptr();
  Tensor grad = torch::stable::empty({params.batch, params.count, gaussians.size(2)}, ScalarType::Float, std::nullopt,
                                     gaussians.device());
  params.grad_gaussians = static_cast<float*>(grad.mutable_data_ptr());
  launch(params);
  return grad;
}

}  // namespace gsdd::torch_door
