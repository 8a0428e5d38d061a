// The CUDA kernels of steps of networks, compiled for the CPU, behind a C interface that a Python test calls.
#include "../../plugins/layers/cuda/norm_relu_pool.h"

namespace {

using namespace gsdd;
using namespace gsdd::cuda::planes;

constexpr int kThreads = kPlanesOfABlock * kLanes;

template <typename Params>
void fill(Params* p, const float* x, int64_t batch, int64_t channels, int64_t height, int64_t width) {
  p->x = x, p->batch = batch, p->channels = channels, p->height = height, p->width = width;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void gsdd_host_norm_relu_pool(const float* x, const float* weight,
                                                                     const float* bias, int64_t batch, int64_t channels,
                                                                     int64_t height, int64_t width, float eps,
                                                                     float* pooled, float* mean, float* inverse,
                                                                     int order) {
  layers::NormReluPool p;
  fill(&p, x, batch, channels, height, width);
  p.weight = weight, p.bias = bias, p.eps = eps, p.pooled = pooled, p.mean = mean, p.inverse = inverse;
  simt::host::run_grid(blocks_for(p), kThreads, 0, order, [&p] { norm_relu_pool_plane(p); });
}

__attribute__((visibility("default"))) void gsdd_host_norm_relu_pool_grad(
    const float* grad_pooled, const float* x, const float* mean, const float* inverse, const float* weight,
    const float* bias, int64_t batch, int64_t channels, int64_t height, int64_t width, float* grad_x,
    float* grad_weight, float* grad_bias, int order) {
  layers::NormReluPoolGrad p;
  fill(&p, x, batch, channels, height, width);
  p.grad_pooled = grad_pooled, p.mean = mean, p.inverse = inverse, p.weight = weight, p.bias = bias;
  p.grad_x = grad_x, p.grad_weight = grad_weight, p.grad_bias = grad_bias;
  simt::host::run_grid(blocks_for(p), kThreads, 0, order, [&p] { norm_relu_pool_plane_grad(p); });
}

}  // extern "C"
