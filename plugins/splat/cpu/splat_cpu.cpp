// The kernel on the CPU: images are spread over the caller's pool, each drawn one Gaussian at a time.
#include <algorithm>
#include <cmath>

#include "../gaussian.h"
#include "../splat.h"
#include "convert.h"

namespace gsdd {
namespace {

constexpr int kMaxParameters = kShapeParameters + kMaxChannels;

struct Range {
  int begin, end;
};

// Pixels of [0, size) whose samples lie within `reach` of `center`.
Range pixel_range(float center, float reach, int size) {
  const float low = std::floor(center - reach - 1.0f), high = std::ceil(center + reach + 1.0f);
  if (!(high > 0.0f) || !(low < static_cast<float>(size))) return {0, 0};
  return {low > 0.0f ? static_cast<int>(low) : 0, high < static_cast<float>(size) ? static_cast<int>(high) : size};
}

template <typename Params>
Grid grid_of(const Params& p) {
  return {static_cast<float>(p.height), static_cast<float>(p.width),
          static_cast<float>(p.width) / static_cast<float>(p.native_width),
          static_cast<float>(p.height) / static_cast<float>(p.native_height)};
}

// Reads Gaussian `index` and places it; false where it draws nothing.
template <typename Params>
bool place(const Params& p, const Grid& grid, int64_t index, float* gaussian, Footprint* f, Range* xs, Range* ys) {
  const int parameters = kShapeParameters + p.channels;
  for (int k = 0; k < parameters; ++k) gaussian[k] = cpu::load(p.gaussians, p.gaussian_dtype, index * parameters + k);
  if (!all_finite(gaussian, parameters)) return false;
  *f = footprint(gaussian, gaussian[parameters - 1], grid);
  if (!(f->reach_x >= 0.0f)) return false;
  *xs = pixel_range(f->center_x, f->reach_x, p.width);
  *ys = pixel_range(f->center_y, f->reach_y, p.height);
  return xs->begin < xs->end && ys->begin < ys->end;
}

void draw_image(const SplatParams& p, const Grid& grid, int64_t image) {
  const int64_t plane = int64_t{p.height} * p.width;
  float* out = static_cast<float*>(p.images) + image * plane * p.channels;
  std::fill(out, out + plane * p.channels, 0.0f);
  const int samples = p.supersample;
  const float step = 1.0f / static_cast<float>(samples), weight = step * step;
  float gaussian[kMaxParameters];
  Footprint f;
  Range xs, ys;
  for (int64_t n = 0; n < p.count; ++n) {
    if (!place(p, grid, image * p.count + n, gaussian, &f, &xs, &ys)) continue;
    const float opacity = gaussian[kShapeParameters + p.channels - 1];
    for (int i = ys.begin; i < ys.end; ++i) {
      for (int j = xs.begin; j < xs.end; ++j) {
        float sum = 0.0f;
        for (int t = 0; t < samples; ++t) {
          for (int s = 0; s < samples; ++s) {
            const float dx = static_cast<float>(j) + (static_cast<float>(s) + 0.5f) * step - f.center_x;
            const float dy = static_cast<float>(i) + (static_cast<float>(t) + 0.5f) * step - f.center_y;
            const float sigma = 0.5f * (f.conic_xx * dx * dx + f.conic_yy * dy * dy) + f.conic_xy * dx * dy;
            const float alpha = opacity * std::exp(-sigma);
            if (alpha >= kAlphaThreshold) sum += std::min(alpha, kAlphaLimit);
          }
        }
        for (int c = 0; c < p.channels; ++c) out[c * plane + int64_t{i} * p.width + j] += weight * sum * gaussian[5 + c];
      }
    }
  }
  for (int c = 0; c < p.channels; ++c) {
    const float mean = p.mean ? p.mean[c] : 0.0f, scale = p.inverse_std ? p.inverse_std[c] : 1.0f;
    for (int64_t k = 0; k < plane; ++k) out[c * plane + k] = (out[c * plane + k] - mean) * scale;
  }
}

void gather_gradient(const SplatGradParams& p, const Grid& grid, int64_t index) {
  const int parameters = kShapeParameters + p.channels;
  float* grad = p.grad_gaussians + index * parameters;
  std::fill(grad, grad + parameters, 0.0f);
  float gaussian[kMaxParameters];
  Footprint f;
  Range xs, ys;
  if (!place(p, grid, index, gaussian, &f, &xs, &ys)) return;
  const int64_t plane = int64_t{p.height} * p.width;
  const float* grad_image = p.grad_images + (index / p.count) * plane * p.channels;
  const float opacity = gaussian[parameters - 1];
  const int samples = p.supersample;
  const float step = 1.0f / static_cast<float>(samples), weight = step * step;
  FootprintGrad g{};
  float grad_color[kMaxChannels] = {}, grad_opacity = 0.0f;
  for (int i = ys.begin; i < ys.end; ++i) {
    for (int j = xs.begin; j < xs.end; ++j) {
      float through_color = 0.0f, alphas = 0.0f;
      for (int c = 0; c < p.channels; ++c) {
        through_color += weight * grad_image[c * plane + int64_t{i} * p.width + j] * gaussian[5 + c];
      }
      for (int t = 0; t < samples; ++t) {
        for (int s = 0; s < samples; ++s) {
          const float dx = static_cast<float>(j) + (static_cast<float>(s) + 0.5f) * step - f.center_x;
          const float dy = static_cast<float>(i) + (static_cast<float>(t) + 0.5f) * step - f.center_y;
          const float sigma = 0.5f * (f.conic_xx * dx * dx + f.conic_yy * dy * dy) + f.conic_xy * dx * dy;
          const float falloff = std::exp(-sigma), alpha = opacity * falloff;
          if (!(alpha >= kAlphaThreshold)) continue;
          alphas += std::min(alpha, kAlphaLimit);
          if (alpha > kAlphaLimit) continue;
          grad_opacity += through_color * falloff;
          const float grad_sigma = -through_color * alpha;
          g.center_x -= grad_sigma * (f.conic_xx * dx + f.conic_xy * dy);
          g.center_y -= grad_sigma * (f.conic_xy * dx + f.conic_yy * dy);
          g.conic_xx += grad_sigma * 0.5f * dx * dx;
          g.conic_xy += grad_sigma * dx * dy;
          g.conic_yy += grad_sigma * 0.5f * dy * dy;
        }
      }
      for (int c = 0; c < p.channels; ++c) {
        grad_color[c] += weight * alphas * grad_image[c * plane + int64_t{i} * p.width + j];
      }
    }
  }
  footprint_backward(gaussian, grid, g, grad);
  for (int c = 0; c < p.channels; ++c) grad[5 + c] = grad_color[c];
  grad[parameters - 1] = grad_opacity;
}

}  // namespace

Status splat_cpu(const SplatParams& params, const ParallelFor& parallel) {
  if (const Status status = check(params); status != Status::kOk) return status;
  if (params.image_dtype != DType::kFloat32 || params.channels_last) return Status::kBadDType;
  parallel.run(parallel.pool, params.batch, 1, [](void* context, int64_t begin, int64_t end) {
    const auto& p = *static_cast<const SplatParams*>(context);
    for (int64_t image = begin; image < end; ++image) draw_image(p, grid_of(p), image);
  }, const_cast<SplatParams*>(&params));
  return Status::kOk;
}

Status splat_backward_cpu(const SplatGradParams& params, const ParallelFor& parallel) {
  if (const Status status = check(params); status != Status::kOk) return status;
  parallel.run(parallel.pool, params.batch * params.count, 16, [](void* context, int64_t begin, int64_t end) {
    const auto& p = *static_cast<const SplatGradParams*>(context);
    for (int64_t index = begin; index < end; ++index) gather_gradient(p, grid_of(p), index);
  }, const_cast<SplatGradParams*>(&params));
  return Status::kOk;
}

}  // namespace gsdd
