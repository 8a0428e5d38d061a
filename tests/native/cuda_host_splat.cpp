// The CUDA kernels, compiled for the CPU, behind a C interface that a Python test calls: the plan, the kernels and
// the shared math are the device's own source; cuda_host_simt.h stands in for its threads.
#include <xmmintrin.h>

#include <algorithm>
#include <array>

#include "../../plugins/splat/cuda/plan.h"

namespace {

using namespace gsdd;
using namespace gsdd::cuda;

// The device flushes results below 2^-126 to zero, and reads such arguments as zero.
struct FlushToZero {
  unsigned before = _mm_getcsr();
  FlushToZero() { _mm_setcsr(before | 0x8040u); }
  ~FlushToZero() { _mm_setcsr(before); }
};

// The inverse covariance [xx, xy, yy] of a Gaussian, in double and by the specification's own words.
std::array<double, 3> inverse_covariance(const float* g, const Grid& grid) {
  const double a = grid.scale_x * (static_cast<double>(g[kL11]) + kCholeskyBias);
  const double b = grid.scale_y * static_cast<double>(g[kL21]);
  const double c = grid.scale_y * (static_cast<double>(g[kL22]) + kCholeskyBias);
  const double aa = a * a, bb = b * b, cc = c * c, v = kPixelVariance;
  // Expanded so that a needle's determinant is a sum of positive terms and never cancels.
  const double determinant = aa * cc + v * (aa + bb + cc + v);
  return {(bb + cc + v) / determinant, -a * b / determinant, (aa + v) / determinant};
}

}  // namespace

extern "C" {

// The status of the launcher's own check; the batch is drawn if it is 0.
__attribute__((visibility("default"))) int gsdd_host_forward(const void* gaussians, int gaussian_dtype, int64_t batch,
                                                             int64_t count, int channels, int height, int width,
                                                             int native_height, int native_width, int supersample,
                                                             void* images, int image_dtype, int channels_last,
                                                             const float* mean, const float* inverse_std,
                                                             const int32_t* offsets, const int32_t* ids,
                                                             int64_t id_count, int order) {
  SplatParams p;
  p.gaussians = gaussians, p.gaussian_dtype = static_cast<DType>(gaussian_dtype);
  p.batch = batch, p.count = count, p.channels = channels, p.height = height, p.width = width;
  p.native_height = native_height, p.native_width = native_width, p.supersample = supersample;
  p.images = images, p.image_dtype = static_cast<DType>(image_dtype), p.channels_last = channels_last != 0;
  p.mean = mean, p.inverse_std = inverse_std;
  if (const Status status = check(p); status != Status::kOk) return static_cast<int>(status);
  ForwardArgs args;
  const Launch launch = plan_forward(p, {offsets, ids, id_count}, &args);
  FlushToZero flush;
  dispatch(channels, supersample, [&](auto variant) {
    using V = decltype(variant);
    simt::host::run_grid(launch.blocks, launch.threads, launch.shared_bytes, order,
                         [&args] { splat_tile<V::colors, V::samples>(args); });
  });
  return 0;
}

__attribute__((visibility("default"))) int gsdd_host_backward(const void* grad_images, int grad_dtype,
                                                              int channels_last, const float* scale,
                                                              const void* gaussians, int gaussian_dtype, int64_t batch,
                                                              int64_t count, int channels, int height, int width,
                                                              int native_height, int native_width, int supersample,
                                                              float* grad_gaussians, int order) {
  SplatGradParams p;
  p.gaussians = gaussians, p.gaussian_dtype = static_cast<DType>(gaussian_dtype);
  p.batch = batch, p.count = count, p.channels = channels, p.height = height, p.width = width;
  p.native_height = native_height, p.native_width = native_width, p.supersample = supersample;
  p.grad_dtype = static_cast<DType>(grad_dtype), p.channels_last = channels_last != 0, p.scale = scale;
  p.grad_images = grad_images, p.grad_gaussians = grad_gaussians;
  if (const Status status = check(p); status != Status::kOk) return static_cast<int>(status);
  BackwardArgs args;
  const Launch launch = plan_backward(p, &args);
  FlushToZero flush;
  dispatch(channels, supersample, [&](auto variant) {
    using V = decltype(variant);
    simt::host::run_grid(launch.blocks, launch.threads, launch.shared_bytes, order,
                         [&args] { gather_gradient<V::colors, V::samples>(args); });
  });
  return 0;
}

// The inverse covariances of `count` Gaussians, [xx, xy, yy] each: from the float path, and in double.
__attribute__((visibility("default"))) void gsdd_host_conics(const float* gaussians, int64_t count, float scale_x,
                                                             float scale_y, double* floats, double* doubles) {
  const Grid grid = {1.0f, 1.0f, scale_x, scale_y};
  for (int64_t i = 0; i < count; ++i) {
    const float* g = gaussians + 5 * i;
    const Whitening m = [&] {
      const FlushToZero flush;
      return whitening(g, grid, kPixelDeviation);
    }();
    const double m11 = m.m11, m12 = m.m12, m22 = m.m22;
    const double made[3] = {m11 * m11, m11 * m12, m12 * m12 + m22 * m22};
    const std::array<double, 3> wanted = inverse_covariance(g, grid);
    std::copy(made, made + 3, floats + 3 * i);
    std::copy(wanted.begin(), wanted.end(), doubles + 3 * i);
  }
}

// For each Gaussian, how its ellipse meets the box of samples, from an origin at (origin_x, origin_y): a Cover.
__attribute__((visibility("default"))) void gsdd_host_covers(const float* gaussians, int64_t count, int height,
                                                             int width, float origin_x, float origin_y,
                                                             const float* box, int32_t* covers) {
  const FlushToZero flush;
  const Grid grid = {static_cast<float>(height), static_cast<float>(width), 1.0f, 1.0f};
  for (int64_t i = 0; i < count; ++i) {
    const float* g = gaussians + 6 * i;
    const Ellipse e = place(whitening(g, grid, kPixelDeviation), g, bits_of(g[5]), grid, origin_x, origin_y);
    covers[i] = cover(e, {box[0], box[1], box[2], box[3]});
  }
}

}  // extern "C"
