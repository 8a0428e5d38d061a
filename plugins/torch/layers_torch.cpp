// The torch door of plugins/layers: what gsdd_runtime.networks.embedding runs on the CPU instead of PyTorch's own.
// Maps are float32 [batch, height, width, channels], contiguous.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "../layers/layers.h"
#include "door.h"
#include "pool.h"

namespace {

using namespace gsdd::torch_door;

void check_map(const Tensor& map, const char* name, int64_t unit) {
  STD_TORCH_CHECK(map.dim() == 4 && map.scalar_type() == ScalarType::Float && map.is_contiguous() && !map.is_cuda(),
                  "gsdd: ", name, " must be a contiguous float32 [batch, height, width, channels] on the CPU");
  STD_TORCH_CHECK(map.size(1) > 0 && map.size(2) > 0 && map.size(1) % unit == 0 && map.size(2) % unit == 0,
                  "gsdd: ", name, " must have sides that are multiples of ", unit, ", got ", map.size(1), " x ",
                  map.size(2));
}

const float* numbers(const Tensor& tensor, int64_t count, const char* name) {
  STD_TORCH_CHECK(tensor.scalar_type() == ScalarType::Float && tensor.is_contiguous() && tensor.numel() == count,
                  "gsdd: ", name, " must be ", count, " contiguous float32 numbers");
  return static_cast<const float*>(tensor.const_data_ptr());
}

Tensor made(std::initializer_list<int64_t> sizes) { return torch::stable::empty(sizes, ScalarType::Float); }

template <typename Params>
void fill_map(Params* params, const Tensor& map) {
  params->batch = map.size(0);
  params->height = map.size(1);
  params->width = map.size(2);
  params->channels = map.size(3);
}

std::tuple<Tensor, Tensor, Tensor> norm_relu_pool(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                                  double eps) {
  check_map(x, "x", 2);
  gsdd::layers::NormReluPool params;
  fill_map(&params, x);
  params.x = numbers(x, x.numel(), "x");
  params.weight = numbers(weight, params.channels, "weight");
  params.bias = numbers(bias, params.channels, "bias");
  params.eps = static_cast<float>(eps);
  Tensor pooled = made({params.batch, params.height / 2, params.width / 2, params.channels});
  Tensor mean = made({params.batch, params.channels}), inverse = made({params.batch, params.channels});
  params.pooled = static_cast<float*>(pooled.mutable_data_ptr());
  params.mean = static_cast<float*>(mean.mutable_data_ptr());
  params.inverse = static_cast<float*>(inverse.mutable_data_ptr());
  raise_unless_ok(gsdd::layers::norm_relu_pool(params, torch_pool()));
  return {pooled, mean, inverse};
}

std::tuple<Tensor, Tensor, Tensor> norm_relu_pool_backward(const Tensor& grad_pooled, const Tensor& x,
                                                           const Tensor& mean, const Tensor& inverse,
                                                           const Tensor& weight, const Tensor& bias) {
  check_map(x, "x", 2);
  gsdd::layers::NormReluPoolGrad params;
  fill_map(&params, x);
  const int64_t statistics = params.batch * params.channels;
  params.grad_pooled = numbers(grad_pooled, x.numel() / 4, "grad_pooled");
  params.x = numbers(x, x.numel(), "x");
  params.mean = numbers(mean, statistics, "mean");
  params.inverse = numbers(inverse, statistics, "inverse");
  params.weight = numbers(weight, params.channels, "weight");
  params.bias = numbers(bias, params.channels, "bias");
  Tensor grad_x = torch::stable::empty_like(x);
  Tensor grad_weight = made({params.batch, params.channels}), grad_bias = made({params.batch, params.channels});
  params.grad_x = static_cast<float*>(grad_x.mutable_data_ptr());
  params.grad_weight = static_cast<float*>(grad_weight.mutable_data_ptr());
  params.grad_bias = static_cast<float*>(grad_bias.mutable_data_ptr());
  raise_unless_ok(gsdd::layers::norm_relu_pool_backward(params, torch_pool()));
  return {grad_x, grad_weight, grad_bias};
}

// A plane has one row more than there are tiles: planes that lie a power of two apart share their places in a cache.
Tensor winograd_read(const Tensor& x) {
  check_map(x, "x", 4);
  gsdd::layers::Winograd params;
  fill_map(&params, x);
  params.from = numbers(x, x.numel(), "x");
  const int64_t tiles = params.batch * (params.height / 4) * (params.width / 4);
  params.plane = (tiles + 1) * params.channels;
  Tensor spread = made({36, tiles + 1, params.channels});
  params.to = static_cast<float*>(spread.mutable_data_ptr());
  raise_unless_ok(gsdd::layers::winograd_read(params, torch_pool()));
  return torch::stable::narrow(spread, 1, 0, tiles);
}

Tensor winograd_write(const Tensor& products, int64_t batch, int64_t height, int64_t width) {
  STD_TORCH_CHECK(products.dim() == 3, "gsdd: products must be [36, tiles, channels]");
  Tensor map = made({batch, height, width, products.size(2)});
  check_map(map, "the map", 4);
  gsdd::layers::Winograd params;
  fill_map(&params, map);
  params.from = numbers(products, map.numel() / 16 * 36, "products");
  params.plane = map.numel() / 16;
  params.to = static_cast<float*>(map.mutable_data_ptr());
  raise_unless_ok(gsdd::layers::winograd_write(params, torch_pool()));
  return map;
}

// Two for each thread, so that one that ends late has less to do.
int64_t slots_of(const gsdd::ParallelFor& pool) { return pool.threads == 1 ? 1 : 2 * pool.threads; }

// Of x [batch, channels, height, width], or of a map.
template <typename Params>
void fill_convolution(Params* params, const Tensor& x, bool is_map, int64_t filters, int64_t padding) {
  STD_TORCH_CHECK(x.dim() == 4 && !x.is_cuda(), "gsdd: x must be of four dimensions and on the CPU");
  params->batch = x.size(0);
  params->channels = x.size(is_map ? 3 : 1);
  params->height = x.size(is_map ? 1 : 2);
  params->width = x.size(is_map ? 2 : 3);
  params->filters = filters;
  params->padding = padding;
  STD_TORCH_CHECK(filters > 0 && filters % 16 == 0, "gsdd: filters must be a multiple of 16, got ", filters);
  STD_TORCH_CHECK(padding >= 0 && padding <= 16, "gsdd: padding must be 0 to 16, got ", padding);
  STD_TORCH_CHECK(params->channels > 0 && params->height + 2 * padding >= 3 && params->width + 2 * padding >= 3,
                  "gsdd: x is smaller than a kernel");
}

Tensor convolved_block(const Tensor& x, const Tensor& kernel, const Tensor& weight, const Tensor& bias, double eps,
                       int64_t padding, bool by_tiles) {
  gsdd::layers::ConvolvedBlock params;
  fill_convolution(&params, x, by_tiles, weight.numel(), padding);
  STD_TORCH_CHECK(padding == 1 || !by_tiles, "gsdd: by tiles the padding must be 1, got ", padding);
  params.by_tiles = by_tiles;
  params.eps = static_cast<float>(eps);
  params.x = numbers(x, x.numel(), "x");
  params.kernel = numbers(kernel, (by_tiles ? 36 : 9) * params.channels * params.filters, "kernel");
  params.weight = numbers(weight, params.filters, "weight");
  params.bias = numbers(bias, params.filters, "bias");
  const int64_t height = params.height + 2 * padding - 2, width = params.width + 2 * padding - 2;
  Tensor pooled = made({params.batch, height / 2, width / 2, params.filters});
  const gsdd::ParallelFor pool = torch_pool();
  params.slots = slots_of(pool);
  Tensor scratch = made({params.slots, gsdd::layers::scratch_of(params)});
  params.pooled = static_cast<float*>(pooled.mutable_data_ptr());
  params.scratch = static_cast<float*>(scratch.mutable_data_ptr());
  raise_unless_ok(gsdd::layers::convolved_block(params, pool));
  return pooled;
}

Tensor convolved_planes(const Tensor& x, const Tensor& kernel, int64_t padding) {
  STD_TORCH_CHECK(kernel.dim() == 4, "gsdd: kernel must be [channels, 3, 3, filters]");
  gsdd::layers::Planes params;
  fill_convolution(&params, x, false, kernel.size(3), padding);
  params.x = numbers(x, x.numel(), "x");
  params.kernel = numbers(kernel, 9 * params.channels * params.filters, "kernel");
  Tensor map = made({params.batch, params.height + 2 * padding - 2, params.width + 2 * padding - 2, params.filters});
  const gsdd::ParallelFor pool = torch_pool();
  params.slots = slots_of(pool);
  Tensor scratch = made({params.slots, gsdd::layers::padded_of(params)});
  params.map = static_cast<float*>(map.mutable_data_ptr());
  params.scratch = static_cast<float*>(scratch.mutable_data_ptr());
  raise_unless_ok(gsdd::layers::convolved_planes(params, pool));
  return map;
}

Tensor convolved_planes_backward(const Tensor& grad_map, const Tensor& kernel, int64_t height, int64_t width,
                                 int64_t padding) {
  STD_TORCH_CHECK(kernel.dim() == 4 && grad_map.dim() == 4,
                  "gsdd: the kernel and the gradient must be of four dimensions");
  Tensor grad_x = made({grad_map.size(0), kernel.size(0), height, width});
  gsdd::layers::PlanesGrad params;
  fill_convolution(&params, grad_x, false, kernel.size(3), padding);
  params.kernel = numbers(kernel, 9 * params.channels * params.filters, "kernel");
  params.grad_map = numbers(grad_map, params.batch * gsdd::layers::made_of(params) * params.filters, "the gradient");
  params.grad_x = static_cast<float*>(grad_x.mutable_data_ptr());
  raise_unless_ok(gsdd::layers::convolved_planes_backward(params, torch_pool()));
  return grad_x;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(gsdd, m) {
  m.def("norm_relu_pool(Tensor x, Tensor weight, Tensor bias, float eps) -> (Tensor, Tensor, Tensor)");
  m.def(
      "norm_relu_pool_backward(Tensor grad_pooled, Tensor x, Tensor mean, Tensor inverse, Tensor weight, Tensor bias) "
      "-> (Tensor, Tensor, Tensor)");
  m.def("winograd_read(Tensor x) -> Tensor");
  m.def("winograd_write(Tensor products, int batch, int height, int width) -> Tensor");
  m.def(
      "convolved_block(Tensor x, Tensor kernel, Tensor weight, Tensor bias, float eps, int padding, bool by_tiles) "
      "-> Tensor");
  m.def("convolved_planes(Tensor x, Tensor kernel, int padding) -> Tensor");
  m.def("convolved_planes_backward(Tensor grad_map, Tensor kernel, int height, int width, int padding) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(gsdd, CPU, m) {
  m.impl("norm_relu_pool", TORCH_BOX(&norm_relu_pool));
  m.impl("norm_relu_pool_backward", TORCH_BOX(&norm_relu_pool_backward));
  m.impl("winograd_read", TORCH_BOX(&winograd_read));
  m.impl("winograd_write", TORCH_BOX(&winograd_write));
  m.impl("convolved_block", TORCH_BOX(&convolved_block));
  m.impl("convolved_planes", TORCH_BOX(&convolved_planes));
  m.impl("convolved_planes_backward", TORCH_BOX(&convolved_planes_backward));
}
