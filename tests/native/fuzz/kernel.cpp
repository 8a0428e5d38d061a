// The kernel's launchers with any arguments and any numbers: they refuse, or write as much as they say and no more.
#include <cstdlib>

#include "bytes.h"
#include "splat.h"

namespace {

// Of a tensor, so that an input takes no second.
constexpr int64_t kMost = 1 << 12;

struct Parts {
  int parts;
};

void run(void* pool, int64_t count, int64_t, gsdd::ParallelFor::Body body, void* context) {
  const int64_t parts = static_cast<Parts*>(pool)->parts;
  for (int64_t k = 0; k < parts; ++k) {
    const int64_t begin = count / parts * k, end = k + 1 == parts ? count : count / parts * (k + 1);
    if (begin < end) body(context, begin, end);
  }
}

template <typename Params>
void fill(fuzz::Bytes& bytes, Params* p) {
  p->gaussian_dtype = static_cast<gsdd::DType>(bytes.below(8) ? bytes.below(3) : bytes.take<int32_t>());
  p->batch = bytes.below(8) ? bytes.below(4) : bytes.number();
  p->count = bytes.below(8) ? bytes.below(12) : bytes.number();
  p->channels = bytes.below(8) ? 1 + bytes.below(4) : static_cast<int32_t>(bytes.number());
  p->height = static_cast<int32_t>(bytes.number());
  p->width = static_cast<int32_t>(bytes.number());
  p->native_height = static_cast<int32_t>(bytes.number());
  p->native_width = static_cast<int32_t>(bytes.number());
  p->supersample = bytes.below(4) ? 2 : static_cast<int32_t>(bytes.number());
}

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Bytes bytes(data, size);
  const bool backward = bytes.coin(), lacks = bytes.below(16) == 0;
  Parts parts{1 + bytes.below(4)};
  gsdd::ParallelFor parallel;
  parallel.run = run;
  parallel.pool = &parts;
  parallel.threads = parts.parts;
  float mean[] = {0.1f, 0.2f, 0.3f, 0.4f}, inverse[] = {1, 2, 3, 4};
  const auto numbers = [&](const auto& p) {
    return fuzz::product(kMost, {p.batch, p.count, 6 + int64_t{p.channels < 0 ? 0 : p.channels}});
  };
  const auto pixels = [&](const auto& p) { return fuzz::product(kMost, {p.batch, p.channels, p.height, p.width}); };
  if (backward) {
    gsdd::SplatGradParams p;
    fill(bytes, &p);
    const bool refused = gsdd::check(p) != gsdd::Status::kOk && !(numbers(p) >= 0 && pixels(p) >= 0);
    if (refused || numbers(p) < 0 || pixels(p) < 0) {
      // Without memory for it: refused, or it has nothing to be read.
      if (p.batch != 0) check(gsdd::splat_backward_cpu(p, parallel) != gsdd::Status::kOk || p.count == 0);
      return 0;
    }
    const int64_t width = gsdd::size_of(p.gaussian_dtype);
    const auto gaussians = bytes.tensor(static_cast<size_t>(numbers(p) * (width ? width : 4)));
    const auto gradients = bytes.tensor(static_cast<size_t>(pixels(p) * 4));
    const auto out = bytes.tensor(static_cast<size_t>(numbers(p) * 4));
    p.gaussians = lacks ? nullptr : gaussians.get();
    p.grad_images = reinterpret_cast<const float*>(gradients.get());
    p.grad_gaussians = reinterpret_cast<float*>(out.get());
    gsdd::splat_backward_cpu(p, parallel);
    return 0;
  }
  gsdd::SplatParams p;
  fill(bytes, &p);
  p.image_dtype = static_cast<gsdd::DType>(bytes.below(8) ? bytes.below(3) : bytes.take<int32_t>());
  p.channels_last = bytes.coin();
  if (bytes.coin()) {
    p.mean = mean;
    p.inverse_std = inverse;
  }
  if (numbers(p) < 0 || pixels(p) < 0) {
    if (p.batch != 0) check(gsdd::splat_cpu(p, parallel) != gsdd::Status::kOk);
    return 0;
  }
  const int64_t width = gsdd::size_of(p.gaussian_dtype), image_width = gsdd::size_of(p.image_dtype);
  const auto gaussians = bytes.tensor(static_cast<size_t>(numbers(p) * (width ? width : 4)));
  const auto images = bytes.tensor(static_cast<size_t>(pixels(p) * (image_width ? image_width : 4)));
  p.gaussians = lacks ? nullptr : gaussians.get();
  p.images = images.get();
  gsdd::splat_cpu(p, parallel);
  return 0;
}
