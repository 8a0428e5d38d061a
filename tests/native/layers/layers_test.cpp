// The steps of networks for every instruction set that this processor runs, over awkward numbers of channels and sides:
// against sums in double, the same bits however the work is split. Buffers are exactly as long as they must be, so that
// AddressSanitizer sees one number too many.
//
// Needs nothing but the steps. Exits 0 when all is well; otherwise prints what is not.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "../../../plugins/layers/cpu/steps.h"
#include "../../../plugins/splat/cpu/kernel.h"

namespace {

using gsdd::cpu::Steps;
using gsdd::layers::ConvolvedBlock;
using gsdd::layers::NormReluPool;
using gsdd::layers::NormReluPoolGrad;
using gsdd::layers::Planes;
using gsdd::layers::PlanesGrad;
using gsdd::layers::Winograd;

int failures = 0;

struct Numbers {
  explicit Numbers(int64_t count) : count(count), data(new float[static_cast<size_t>(count)]) {}
  float& operator[](int64_t at) { return data[static_cast<size_t>(at)]; }
  int64_t count;
  std::unique_ptr<float[]> data;
};

Numbers drawn(int64_t count, uint32_t seed) {
  Numbers numbers(count);
  for (int64_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    numbers[i] = static_cast<float>(seed >> 8) / (1 << 23) - 1;
  }
  return numbers;
}

void expect(bool right, const Steps& steps, const char* what, int64_t channels, int64_t height, int64_t width) {
  if (right) return;
  std::printf("%s: %s of %lld channels, %lld x %lld\n", steps.name, what, static_cast<long long>(channels),
              static_cast<long long>(height), static_cast<long long>(width));
  ++failures;
}

bool near(double ours, double right, double bound = 2e-5) {
  return std::fabs(ours - right) <= bound * (1 + std::fabs(right));
}

constexpr int64_t kBatch = 3;

void try_norm(const Steps& steps, int64_t channels, int64_t height, int64_t width) {
  const int64_t places = height * width, all = kBatch * places * channels, statistics = kBatch * channels;
  Numbers x = drawn(all, 1), weight = drawn(channels, 2), bias = drawn(channels, 3), grad = drawn(all / 4, 4);
  Numbers pooled(all / 4), mean(statistics), inverse(statistics);
  NormReluPool p;
  p.x = &x[0], p.weight = &weight[0], p.bias = &bias[0], p.eps = 1e-5f;
  p.batch = kBatch, p.height = height, p.width = width, p.channels = channels;
  p.pooled = &pooled[0], p.mean = &mean[0], p.inverse = &inverse[0];
  steps.norm_relu_pool(p, 0, 1);
  steps.norm_relu_pool(p, 1, kBatch);
  Numbers grad_x(all), grad_weight(statistics), grad_bias(statistics);
  NormReluPoolGrad g;
  g.grad_pooled = &grad[0], g.x = p.x, g.mean = p.mean, g.inverse = p.inverse, g.weight = p.weight, g.bias = p.bias;
  g.batch = kBatch, g.height = height, g.width = width, g.channels = channels;
  g.grad_x = &grad_x[0], g.grad_weight = &grad_weight[0], g.grad_bias = &grad_bias[0];
  steps.norm_relu_pool_backward(g, 0, 2);
  steps.norm_relu_pool_backward(g, 2, kBatch);
  bool forward = true, backward = true;
  for (int64_t image = 0; image < kBatch; ++image) {
    for (int64_t channel = 0; channel < channels; ++channel) {
      const auto at = [&](int64_t place) { return (image * places + place) * channels + channel; };
      double sum = 0, square = 0, given = 0, product = 0;
      for (int64_t place = 0; place < places; ++place) sum += x[at(place)];
      const double center = sum / static_cast<double>(places);
      for (int64_t place = 0; place < places; ++place) square += std::pow(x[at(place)] - center, 2);
      const double deviation = std::sqrt(square / static_cast<double>(places) + 1e-5);
      const auto normed = [&](int64_t place) { return (x[at(place)] - center) / deviation; };
      const auto shown = [&](int64_t place) { return std::fmax(normed(place) * weight[channel] + bias[channel], 0.0); };
      const auto quarter = [&](int64_t place) {
        return ((image * (height / 2) + place / width / 2) * (width / 2) + place % width / 2) * channels + channel;
      };
      const auto inner = [&](int64_t place) { return shown(place) > 0 ? 0.25 * grad[quarter(place)] : 0.0; };
      for (int64_t place = 0; place < places; ++place) given += inner(place), product += inner(place) * normed(place);
      for (int64_t place = 0; place < places; ++place) {
        const double right = weight[channel] / deviation *
                             (inner(place) - (given + product * normed(place)) / static_cast<double>(places));
        backward &= near(grad_x[at(place)], right);
        if (place % 2 || place / width % 2) continue;
        const double mean_of_four =
            (shown(place) + shown(place + 1) + shown(place + width) + shown(place + width + 1)) / 4;
        forward &= near(pooled[quarter(place)], mean_of_four);
      }
      backward &= near(grad_bias[image * channels + channel], given);
      backward &= near(grad_weight[image * channels + channel], product);
    }
  }
  expect(forward, steps, "norm, ReLU and pool", channels, height, width);
  expect(backward, steps, "the gradient of norm, ReLU and pool", channels, height, width);
}

// A kernel whose middle is 1 gives the map again: its transform is the outer product of these, a channel at a time.
constexpr double kMiddle[6] = {0, -4 / 24.0, 4 / 24.0, 2 / 24.0, -2 / 24.0, 0};

void try_winograd(const Steps& steps, int64_t channels, int64_t height, int64_t width) {
  const int64_t tiles = kBatch * height / 4 * width / 4, all = kBatch * height * width * channels;
  Numbers map = drawn(all, 5), spread(36 * tiles * channels), back(all);
  Winograd p;
  p.batch = kBatch, p.height = height, p.width = width, p.channels = channels, p.plane = tiles * channels;
  p.from = &map[0], p.to = &spread[0];
  steps.winograd_read(p, 0, 1);
  steps.winograd_read(p, 1, tiles);
  for (int64_t i = 0; i < spread.count; ++i) {
    const int64_t place = i / p.plane;
    spread[i] *= static_cast<float>(kMiddle[place / 6] * kMiddle[place % 6]);
  }
  p.from = &spread[0], p.to = &back[0];
  steps.winograd_write(p, 0, tiles - 1);
  steps.winograd_write(p, tiles - 1, tiles);
  bool same = true;
  for (int64_t i = 0; i < all; ++i) same &= near(back[i], map[i]);
  expect(same, steps, "there and back by Winograd's tiles", channels, height, width);
}

// A 3 x 3 convolution in double at one place of its map, and its gradient in x at one place of that.
struct Convolution {
  int64_t channels, filters, height, width, padding;
  Numbers& x;
  Numbers& kernel;  // [channels, 3, 3, filters]
  int64_t made_height() const { return height + 2 * padding - 2; }
  int64_t made_width() const { return width + 2 * padding - 2; }
  int64_t x_at(int64_t image, int64_t channel, int64_t row, int64_t column) const {
    return ((image * channels + channel) * height + row) * width + column;
  }
  int64_t map_at(int64_t image, int64_t row, int64_t column, int64_t filter) const {
    return ((image * made_height() + row) * made_width() + column) * filters + filter;
  }
  int64_t kernel_at(int64_t channel, int64_t down, int64_t right, int64_t filter) const {
    return ((channel * 3 + down) * 3 + right) * filters + filter;
  }
  double made(int64_t image, int64_t row, int64_t column, int64_t filter) const {
    double sum = 0;
    for (int64_t channel = 0; channel < channels; ++channel) {
      for (int64_t down = 0; down < 3; ++down) {
        for (int64_t right = 0; right < 3; ++right) {
          const int64_t r = row + down - padding, c = column + right - padding;
          if (r < 0 || r >= height || c < 0 || c >= width) continue;
          sum += static_cast<double>(x[x_at(image, channel, r, c)]) * kernel[kernel_at(channel, down, right, filter)];
        }
      }
    }
    return sum;
  }
  double gathered(Numbers& grad, int64_t image, int64_t channel, int64_t row, int64_t column) const {
    double sum = 0;
    for (int64_t down = 0; down < 3; ++down) {
      for (int64_t right = 0; right < 3; ++right) {
        const int64_t r = row - down + padding, c = column - right + padding;
        if (r < 0 || r >= made_height() || c < 0 || c >= made_width()) continue;
        for (int64_t filter = 0; filter < filters; ++filter) {
          sum +=
              static_cast<double>(grad[map_at(image, r, c, filter)]) * kernel[kernel_at(channel, down, right, filter)];
        }
      }
    }
    return sum;
  }
};

template <typename Params>
void fill(Params* p, const Convolution& c) {
  p->batch = kBatch, p->height = c.height, p->width = c.width, p->channels = c.channels, p->filters = c.filters;
  p->padding = c.padding, p->kernel = &c.kernel[0];
}

void try_planes(const Steps& steps, int64_t channels, int64_t filters, int64_t height, int64_t width, int64_t padding) {
  Numbers x = drawn(kBatch * channels * height * width, 6), kernel = drawn(9 * channels * filters, 7);
  const Convolution c{channels, filters, height, width, padding, x, kernel};
  const int64_t all = kBatch * c.made_height() * c.made_width() * filters;
  Planes p;
  fill(&p, c);
  p.slots = 2, p.x = &x[0];
  Numbers map(all), scratch(p.slots * gsdd::layers::padded_of(p)), grad = drawn(all, 8), grad_x(x.count);
  p.map = &map[0], p.scratch = &scratch[0];
  steps.convolved_planes(p, 0, 1);
  steps.convolved_planes(p, 1, 2);
  PlanesGrad g;
  fill(&g, c);
  g.grad_map = &grad[0], g.grad_x = &grad_x[0];
  steps.convolved_planes_backward(g, 0, 2);
  steps.convolved_planes_backward(g, 2, kBatch);
  bool forward = true, backward = true;
  for (int64_t image = 0; image < kBatch; ++image) {
    for (int64_t row = 0; row < c.made_height(); ++row) {
      for (int64_t column = 0; column < c.made_width(); ++column) {
        for (int64_t f = 0; f < filters; ++f) {
          forward &= near(map[c.map_at(image, row, column, f)], c.made(image, row, column, f));
        }
      }
    }
    for (int64_t channel = 0; channel < channels; ++channel) {
      for (int64_t row = 0; row < height; ++row) {
        for (int64_t column = 0; column < width; ++column) {
          const double right = c.gathered(grad, image, channel, row, column);
          backward &= near(grad_x[c.x_at(image, channel, row, column)], right);
        }
      }
    }
  }
  expect(forward, steps, "a convolution of planes", channels, height, width);
  expect(backward, steps, "the gradient of a convolution of planes", channels, height, width);
}

// The kernel as the products between tiles take it: G g G' of Lavin and Gray.
Numbers by_tiles(Numbers& kernel, int64_t channels, int64_t filters) {
  constexpr double kG[6][3] = {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4}, {1, 2, 4}, {1, -2, 4}, {0, 0, 24}};
  Numbers turned(36 * channels * filters);
  for (int64_t i = 0; i < turned.count; ++i) {
    const int64_t place = i / (channels * filters), channel = i / filters % channels, filter = i % filters;
    double sum = 0;
    for (int64_t at = 0; at < 9; ++at) {
      sum += kG[place / 6][at / 3] * kG[place % 6][at % 3] / 576 * kernel[(channel * 9 + at) * filters + filter];
    }
    turned[i] = static_cast<float>(sum);
  }
  return turned;
}

void try_block(const Steps& steps, int64_t channels, int64_t filters, int64_t height, int64_t width, bool tiles) {
  Numbers x = drawn(kBatch * channels * height * width, 9), kernel = drawn(9 * channels * filters, 10);
  Numbers weight = drawn(filters, 11), bias = drawn(filters, 12), turned = by_tiles(kernel, channels, filters);
  Numbers last(x.count);  // channels last
  const Convolution c{channels, filters, height, width, 1, x, kernel};
  for (int64_t i = 0; i < x.count; ++i) {
    const int64_t channel = i % channels, place = i / channels;
    last[i] = x[c.x_at(place / (height * width), channel, place / width % height, place % width)];
  }
  ConvolvedBlock p;
  fill(&p, c);
  p.by_tiles = tiles, p.x = tiles ? &last[0] : &x[0], p.kernel = tiles ? &turned[0] : &kernel[0];
  p.weight = &weight[0], p.bias = &bias[0], p.eps = 1e-5f, p.slots = 2;
  const int64_t high = height / 2, wide = width / 2;
  Numbers pooled(kBatch * high * wide * filters), scratch(p.slots * gsdd::layers::scratch_of(p));
  p.pooled = &pooled[0], p.scratch = &scratch[0];
  steps.convolved_block(p, 0, 1);
  steps.convolved_block(p, 1, 2);
  bool right = true;
  for (int64_t image = 0; image < kBatch; ++image) {
    for (int64_t f = 0; f < filters; ++f) {
      const double places = static_cast<double>(height * width);
      double sum = 0, square = 0;
      for (int64_t at = 0; at < height * width; ++at) sum += c.made(image, at / width, at % width, f);
      for (int64_t at = 0; at < height * width; ++at) {
        square += std::pow(c.made(image, at / width, at % width, f) - sum / places, 2);
      }
      const double scale = weight[f] / std::sqrt(square / places + 1e-5);
      for (int64_t at = 0; at < high * wide; ++at) {
        double four = 0;
        for (int64_t k = 0; k < 4; ++k) {
          const double made = c.made(image, at / wide * 2 + k / 2, at % wide * 2 + k % 2, f);
          four += std::fmax((made - sum / places) * scale + bias[f], 0.0) / 4;
        }
        right &= near(pooled[(image * high * wide + at) * filters + f], four, 1e-4);
      }
    }
  }
  expect(right, steps, tiles ? "a block by tiles" : "a block of planes", channels, height, width);
}

}  // namespace

int main() {
  const Steps* const all[] = {
#if defined(__x86_64__)
      &gsdd::cpu::avx512::kSteps, &gsdd::cpu::avx2::kSteps,
#endif
      &gsdd::cpu::baseline::kSteps};
  int tried = 0;
  for (const gsdd::cpu::Kernel* const* kernel = gsdd::cpu::supported_kernels(); *kernel; ++kernel) {
    for (const Steps* steps : all) {
      if (std::strcmp(steps->name, (*kernel)->name) != 0) continue;
      ++tried;
      for (const int64_t channels : {1, 5, 16, 17, 40, 70}) {
        for (const int64_t height : {2, 6}) try_norm(*steps, channels, height, 4);
        for (const int64_t height : {4, 12}) try_winograd(*steps, channels, height, 8);
      }
      for (const int64_t filters : {16, 48}) {
        for (const int64_t channels : {1, 3}) {
          for (const int64_t padding : {0, 1, 3}) try_planes(*steps, channels, filters, 5, 10, padding);
          try_block(*steps, channels, filters, 5, 10, false);
          try_block(*steps, 17 * channels, filters, 5, 10, true);
        }
      }
    }
  }
  if (tried == 0) std::printf("no steps were tried\n");
  std::printf("%d instruction sets, %d failures\n", tried, failures);
  return failures == 0 && tried > 0 ? 0 : 1;
}
