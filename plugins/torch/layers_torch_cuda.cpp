// The CUDA side of the torch door of plugins/layers: maps are float32 [batch, channels, height, width], contiguous.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "../layers/cuda/layers_cuda.h"
#include "on_device.h"

namespace {

using namespace gsdd::torch_door;

// A contiguous float32 tensor of `count` numbers on the device of `x`.
const float* numbers(const Tensor& tensor, const Tensor& x, int64_t count, const char* name) {
  STD_TORCH_CHECK(tensor.device() == x.device() && tensor.scalar_type() == ScalarType::Float &&
                      tensor.is_contiguous() && tensor.numel() == count,
                  "gsdd: ", name, " must be ", count, " contiguous float32 numbers on the device of x");
  return static_cast<const float*>(tensor.const_data_ptr());
}

Tensor made(const Tensor& x, std::initializer_list<int64_t> sizes) {
  return torch::stable::empty(sizes, ScalarType::Float, std::nullopt, x.device());
}

template <typename Params>
void fill_planes(Params* params, const Tensor& x) {
  STD_TORCH_CHECK(x.dim() == 4, "gsdd: x must be [batch, channels, height, width]");
  params->batch = x.size(0);
  params->channels = x.size(1);
  params->height = x.size(2);
  params->width = x.size(3);
  STD_TORCH_CHECK(params->height > 0 && params->width > 0 && params->height % 2 == 0 && params->width % 2 == 0,
                  "gsdd: x must have even sides, got ", params->height, " x ", params->width);
  params->x = numbers(x, x, x.numel(), "x");
}

std::tuple<Tensor, Tensor, Tensor> norm_relu_pool(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                                  double eps) {
  const OnDeviceOf device(x);
  gsdd::layers::NormReluPool params;
  fill_planes(&params, x);
  params.weight = numbers(weight, x, params.channels, "weight");
  params.bias = numbers(bias, x, params.channels, "bias");
  params.eps = static_cast<float>(eps);
  Tensor pooled = made(x, {params.batch, params.channels, params.height / 2, params.width / 2});
  Tensor mean = made(x, {params.batch, params.channels}), inverse = made(x, {params.batch, params.channels});
  params.pooled = static_cast<float*>(pooled.mutable_data_ptr());
  params.mean = static_cast<float*>(mean.mutable_data_ptr());
  params.inverse = static_cast<float*>(inverse.mutable_data_ptr());
  int cuda_error = 0;
  raise_unless_launched(gsdd::norm_relu_pool_cuda(params, device.stream(), &cuda_error), cuda_error);
  return {pooled, mean, inverse};
}

std::tuple<Tensor, Tensor, Tensor> norm_relu_pool_backward(const Tensor& grad_pooled, const Tensor& x,
                                                           const Tensor& mean, const Tensor& inverse,
                                                           const Tensor& weight, const Tensor& bias) {
  const OnDeviceOf device(x);
  gsdd::layers::NormReluPoolGrad params;
  fill_planes(&params, x);
  const int64_t statistics = params.batch * params.channels;
  params.grad_pooled = numbers(grad_pooled, x, x.numel() / 4, "grad_pooled");
  params.mean = numbers(mean, x, statistics, "mean");
  params.inverse = numbers(inverse, x, statistics, "inverse");
  params.weight = numbers(weight, x, params.channels, "weight");
  params.bias = numbers(bias, x, params.channels, "bias");
  Tensor grad_x = torch::stable::empty_like(x);
  Tensor grad_weight = made(x, {params.batch, params.channels}), grad_bias = made(x, {params.batch, params.channels});
  params.grad_x = static_cast<float*>(grad_x.mutable_data_ptr());
  params.grad_weight = static_cast<float*>(grad_weight.mutable_data_ptr());
  params.grad_bias = static_cast<float*>(grad_bias.mutable_data_ptr());
  int cuda_error = 0;
  raise_unless_launched(gsdd::norm_relu_pool_backward_cuda(params, device.stream(), &cuda_error), cuda_error);
  return {grad_x, grad_weight, grad_bias};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(gsdd, m) {
  m.def("norm_relu_pool_planes(Tensor x, Tensor weight, Tensor bias, float eps) -> (Tensor, Tensor, Tensor)");
  m.def(
      "norm_relu_pool_planes_backward(Tensor grad_pooled, Tensor x, Tensor mean, Tensor inverse, Tensor weight, "
      "Tensor bias) -> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(gsdd, CUDA, m) {
  m.impl("norm_relu_pool_planes", TORCH_BOX(&norm_relu_pool));
  m.impl("norm_relu_pool_planes_backward", TORCH_BOX(&norm_relu_pool_backward));
}
