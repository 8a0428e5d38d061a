// Every kernel that this processor runs, over awkward inputs: images and gradients against the oracle, the same bits
// however the work is split, every storage type and layout. Buffers are exactly as long as they must be, so that
// AddressSanitizer sees one number too many.
//
// Needs nothing but the kernel. Exits 0 when all is well; otherwise prints what is not.
#include "cpu/kernel.h"

#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <thread>

#include "cases.h"
#include "oracle.h"
#include "splat.h"

namespace {

int failures = 0;

template <typename... Args>
void fail(const char* format, Args... args) {
  std::printf(format, args...);
  std::printf("\n");
  ++failures;
}

using gsdd::DType;
using gsdd::cpu::Kernel;

float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// The value of a stored number.
float read(const void* data, DType dtype, int64_t index) {
  if (dtype == DType::kFloat32) return static_cast<const float*>(data)[index];
  const uint32_t bits = static_cast<const uint16_t*>(data)[index];
  if (dtype == DType::kBFloat16) return from_bits(bits << 16);
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double magnitude = exponent == 0    ? std::ldexp(mantissa, -24)
                           : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                            : std::ldexp(1024 + mantissa, exponent - 25);
  return static_cast<float>(bits & 0x8000 ? -magnitude : magnitude);
}

template <typename Params>
void fill(const Size& size, const void* gaussians, DType dtype, Params* p) {
  p->gaussians = gaussians;
  p->gaussian_dtype = dtype;
  p->batch = size.batch;
  p->count = size.count;
  p->channels = size.channels;
  p->height = size.height;
  p->width = size.width;
  p->native_height = size.native_height;
  p->native_width = size.native_width;
  p->supersample = size.supersample;
}

// Runs work(begin, end) on [0, units) in `parts` parts, each on a thread of its own.
template <typename Work>
void in_parts(const Work& work, int64_t units, int parts) {
  std::vector<std::thread> threads;
  for (int k = 0; k < parts; ++k) {
    const int64_t begin = units * k / parts, end = units * (k + 1) / parts;
    if (begin < end) threads.emplace_back([=, &work] { work(begin, end); });
  }
  for (std::thread& thread : threads) thread.join();
}

int64_t panels(const Kernel& kernel, const Size& size, int columns) {
  const int64_t across = (size.width + columns - 1) / columns;
  return size.batch * across * ((size.height + kernel.panel_rows - 1) / kernel.panel_rows);
}

// In panels of the full width if in one part, and else of 1 strip or 2.
std::vector<float> draw_with(const Kernel& kernel, const Size& size, const float* gaussians, int parts) {
  std::vector<float> images(size.batch * size.channels * size.pixels(), NAN);
  gsdd::SplatParams p;
  fill(size, gaussians, DType::kFloat32, &p);
  p.images = images.data();
  const int columns = parts == 1 ? kernel.panel_columns : kernel.strip_columns * (1 + parts % 2);
  in_parts([&](int64_t begin, int64_t end) { kernel.forward(p, columns, begin, end); }, panels(kernel, size, columns),
           parts);
  return images;
}

std::vector<float> gradients_with(const Kernel& kernel, const Size& size, const float* gaussians,
                                  const float* grad_images, int parts) {
  std::vector<float> gradients(size.batch * size.count * size.parameters(), NAN);
  gsdd::SplatGradParams p;
  fill(size, gaussians, DType::kFloat32, &p);
  p.grad_images = grad_images;
  p.grad_gaussians = gradients.data();
  in_parts([&](int64_t begin, int64_t end) { kernel.backward(p, begin, end); }, size.batch * size.count, parts);
  return gradients;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void test_images(const Kernel& kernel, const Case& c, const Expected& expected) {
  const std::vector<float> images = draw_with(kernel, c.size, c.gaussians.data(), 1);
  double worst = 0;
  for (size_t k = 0; k < images.size(); ++k) {
    const double error = std::abs(images[k] - expected.images[k]) - expected.flips[k];
    worst = error > worst || std::isnan(error) ? error : worst;
  }
  // Measured: 5e-5 at most.
  if (!(worst <= 1e-3)) fail("%s, %s: an image is %.1e off", kernel.name, c.name.c_str(), worst);
  for (int parts : {2, 3, 7}) {
    if (!same_bits(images, draw_with(kernel, c.size, c.gaussians.data(), parts))) {
      fail("%s, %s: the image depends on being split in %d", kernel.name, c.name.c_str(), parts);
    }
  }
}

void test_gradients(const Kernel& kernel, const Case& c, const std::vector<float>& grad_images,
                    const Expected& expected) {
  const std::vector<float> gradients = gradients_with(kernel, c.size, c.gaussians.data(), grad_images.data(), 1);
  const int parameters = c.size.parameters();
  for (int k = 0; k < parameters; ++k) {
    double error = 0, norm = 0;
    for (size_t n = k; n < gradients.size(); n += parameters) {
      error += std::pow(gradients[n] - expected.gradients[n], 2);
      norm += std::pow(expected.gradients[n], 2);
    }
    // Measured: 1.4e-4 at most.
    if (!(std::sqrt(error) <= 1e-3 * std::sqrt(norm) + 1e-12)) {
      fail("%s, %s: the gradient of parameter %d is %.1e off, of %.1e", kernel.name, c.name.c_str(), k,
           std::sqrt(error), std::sqrt(norm));
    }
  }
  for (int parts : {2, 5}) {
    if (!same_bits(gradients, gradients_with(kernel, c.size, c.gaussians.data(), grad_images.data(), parts))) {
      fail("%s, %s: the gradient depends on being split in %d", kernel.name, c.name.c_str(), parts);
    }
  }
}

void test_case(const Case& c) {
  Expected expected = draw(c.size, c.gaussians);
  // No gradient comes from where a sample may be drawn or dropped.
  std::vector<float> grad_images(expected.images.size());
  std::mt19937 engine(7);
  for (size_t k = 0; k < grad_images.size(); ++k) {
    const float value = static_cast<float>(static_cast<double>(engine()) / 2147483648.0 - 1.0);
    grad_images[k] = expected.flips[k] > 0 ? 0.0f : value;
  }
  differentiate(c.size, c.gaussians, grad_images, &expected);
  for (const Kernel* const* kernel = gsdd::cpu::supported_kernels(); *kernel; ++kernel) {
    test_images(**kernel, c, expected);
    test_gradients(**kernel, c, grad_images, expected);
  }
}

// A number stored in `dtype` may be half a unit in the last place off.
double rounding(DType dtype, double value) {
  if (dtype == DType::kFloat32) return 0.0;
  const double unit = dtype == DType::kBFloat16 ? 0x1p-8 : 0x1p-11;
  return std::fmax(std::abs(value) * unit, dtype == DType::kFloat16 ? 0x1p-25 : 0.0);
}

// A number below 65504 as float16 holds it; numbers of bfloat16 lose nothing but what is below 2^-24.
uint16_t half_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  const float size = std::fabs(value);
  if (size < 0x1p-14f) return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::lround(size * 0x1p24f)));
  return static_cast<uint16_t>(sign | ((magnitude >> 13) - (112u << 10)));
}

uint16_t stored_as(DType dtype, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return dtype == DType::kBFloat16 ? static_cast<uint16_t>(bits >> 16) : half_of(value);
}

void test_output(const Kernel& kernel, const Case& c, DType dtype, bool channels_last, DType stored) {
  const Size& size = c.size;
  const int64_t pixels = size.pixels(), numbers = size.batch * size.channels * pixels;
  const float mean[4] = {0.1f, 0.2f, 0.3f, 0.4f}, inverse_std[4] = {2.0f, 3.0f, 4.0f, 5.0f};
  // Exactly as many bytes as the kernel may touch.
  const auto images = std::make_unique<unsigned char[]>(numbers * gsdd::size_of(dtype));
  std::unique_ptr<uint16_t[]> halves;
  gsdd::SplatParams p;
  fill(size, c.gaussians.data(), stored, &p);
  std::vector<float> numbers_read = c.gaussians;
  if (stored != DType::kFloat32) {
    halves = std::make_unique<uint16_t[]>(c.gaussians.size());
    for (size_t k = 0; k < c.gaussians.size(); ++k) {
      halves[k] = stored_as(stored, c.gaussians[k]);
      numbers_read[k] = read(halves.get(), stored, static_cast<int64_t>(k));
    }
    p.gaussians = halves.get();
  }
  const std::vector<float> plain = draw_with(kernel, size, numbers_read.data(), 1);
  p.images = images.get();
  p.image_dtype = dtype;
  p.channels_last = channels_last;
  p.mean = mean;
  p.inverse_std = inverse_std;
  kernel.forward(p, kernel.panel_columns, 0, panels(kernel, size, kernel.panel_columns));
  for (int64_t k = 0; k < numbers; ++k) {
    const int64_t image = k / (size.channels * pixels), channel = k / pixels % size.channels, pixel = k % pixels;
    const double expected = (plain[k] - mean[channel]) * inverse_std[channel];
    const int64_t at = channels_last ? (image * pixels + pixel) * size.channels + channel : k;
    const double error = std::abs(read(images.get(), dtype, at) - expected);
    if (!(error <= rounding(dtype, expected) + 1e-6)) {
      fail("%s, %s: number %lld is %.1e off in dtype %d%s", kernel.name, c.name.c_str(), static_cast<long long>(k),
           error, static_cast<int>(dtype), channels_last ? ", channels last" : "");
      return;
    }
  }
}

// A pool of `threads`, which counts the parts that it was given.
struct Pool {
  int threads;
  int64_t parts = 0;

  gsdd::ParallelFor parallel() {
    return {[](void* pool, int64_t count, int64_t, gsdd::ParallelFor::Body body, void* context) {
              static_cast<Pool*>(pool)->parts = count;
              in_parts([=](int64_t begin, int64_t end) { body(context, begin, end); }, count, static_cast<int>(count));
            },
            this, threads};
  }
};

// The launchers, on pools of several sizes: the same bits, and one small image keeps every thread busy.
void test_pools(const Size& size, std::initializer_list<int> thread_counts) {
  const Case c{"", size, ordinary(size, 3)};
  const std::vector<float> grad_images(size.batch * size.channels * size.pixels(), 1.0f);
  std::vector<float> images(grad_images.size()), gradients(c.gaussians.size()), first_images, first_gradients;
  gsdd::SplatParams p;
  fill(size, c.gaussians.data(), DType::kFloat32, &p);
  p.images = images.data();
  gsdd::SplatGradParams g;
  fill(size, c.gaussians.data(), DType::kFloat32, &g);
  g.grad_images = grad_images.data();
  g.grad_gaussians = gradients.data();
  for (int threads : thread_counts) {
    Pool pool{threads};
    if (gsdd::splat_cpu(p, pool.parallel()) != gsdd::Status::kOk) fail("%d threads: not drawn", threads);
    if (pool.parts != threads) fail("drawing gave %d threads %d parts", threads, static_cast<int>(pool.parts));
    if (gsdd::splat_backward_cpu(g, pool.parallel()) != gsdd::Status::kOk) fail("%d threads: no gradient", threads);
    if (pool.parts != threads) fail("gathering gave %d threads %d parts", threads, static_cast<int>(pool.parts));
    if (threads == 1) {
      first_images = images;
      first_gradients = gradients;
    }
    if (!same_bits(images, first_images)) fail("%d threads: another image than with one", threads);
    if (!same_bits(gradients, first_gradients)) fail("%d threads: other gradients than with one", threads);
  }
}

void test_refusals() {
  const gsdd::ParallelFor serial{
      [](void*, int64_t count, int64_t, gsdd::ParallelFor::Body body, void* context) { body(context, 0, count); }};
  const Size size{1, 1, 3, 4, 4, 4, 4, 2};
  const std::vector<float> gaussians(9);
  std::vector<float> images(48);
  gsdd::SplatParams good;
  fill(size, gaussians.data(), DType::kFloat32, &good);
  good.images = images.data();
  const auto expect = [&](gsdd::Status status, auto change) {
    gsdd::SplatParams p = good;
    change(&p);
    if (gsdd::splat_cpu(p, serial) != status) fail("expected: %s", gsdd::message(status));
  };
  expect(gsdd::Status::kOk, [](gsdd::SplatParams*) {});
  expect(gsdd::Status::kNullPointer, [](gsdd::SplatParams* p) { p->images = nullptr; });
  expect(gsdd::Status::kNullPointer, [](gsdd::SplatParams* p) { p->gaussians = nullptr; });
  expect(gsdd::Status::kBadShape, [](gsdd::SplatParams* p) { p->channels = 5; });
  expect(gsdd::Status::kBadShape, [](gsdd::SplatParams* p) { p->width = 0; });
  expect(gsdd::Status::kBadShape, [](gsdd::SplatParams* p) { p->batch = -1; });
  expect(gsdd::Status::kBadNativeSize, [](gsdd::SplatParams* p) { p->native_width = 0; });
  expect(gsdd::Status::kBadSupersample, [](gsdd::SplatParams* p) { p->supersample = 9; });
  expect(gsdd::Status::kBadDType, [](gsdd::SplatParams* p) { p->image_dtype = static_cast<DType>(7); });
  expect(gsdd::Status::kTooLarge, [](gsdd::SplatParams* p) { p->batch = INT64_MAX; });
}

}  // namespace

int main() {
  const std::vector<Case> all = cases();
  for (const Case& c : all) test_case(c);
  for (const Case& c : all) {
    if (c.name.rfind("width", 0) != 0 && c.name.rfind("channels", 0) != 0) continue;
    for (const Kernel* const* kernel = gsdd::cpu::supported_kernels(); *kernel; ++kernel) {
      for (DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
        for (bool channels_last : {false, true}) test_output(**kernel, c, dtype, channels_last, DType::kBFloat16);
        test_output(**kernel, c, dtype, false, DType::kFloat16);
      }
    }
  }
  test_pools({1, 22, 3, 32, 32, 32, 32, 2}, {1, 2, 4});
  test_pools({300, 5, 1, 9, 9, 9, 9, 2}, {1, 2, 4, 65, 200});
  test_refusals();
  std::printf("%zu cases with the kernels", all.size());
  for (const Kernel* const* kernel = gsdd::cpu::supported_kernels(); *kernel; ++kernel) {
    std::printf(" %s", (*kernel)->name);
  }
  std::printf(": %d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
