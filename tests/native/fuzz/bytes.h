// What an input of the fuzzer is read as: numbers that are often near a limit, and tensors exactly as long as they say.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>

namespace fuzz {

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  template <typename T>
  T take() {
    T value{};
    const size_t size = sizeof(T) < left_ ? sizeof(T) : left_;
    std::memcpy(&value, data_, size);
    data_ += size;
    left_ -= size;
    return value;
  }

  bool coin() { return take<uint8_t>() & 1; }
  int below(int limit) { return take<uint8_t>() % limit; }
  // Once in so many times, and never where nothing is left: what is short is then ordinary.
  bool odd(int times) { return below(times) == times - 1; }

  // Small most of the time, so that there is something to compute; else at or beyond a limit.
  int64_t number() {
    static constexpr int64_t kOdd[] = {0,         -1,        1,         16384,     16385,     INT32_MAX,
                                       INT32_MIN, INT64_MAX, INT64_MIN, 1LL << 31, 1LL << 32, 1LL << 62};
    const int kind = below(8);
    if (kind == 0) return kOdd[below(static_cast<int>(std::size(kOdd)))];
    if (kind == 1) return take<int64_t>();
    return below(24);
  }

  // `size` bytes of memory with nothing behind them, filled from what is left, over and over.
  std::unique_ptr<uint8_t[]> tensor(size_t size) {
    std::unique_ptr<uint8_t[]> made(new uint8_t[size]);
    size_t filled = 0;
    for (const size_t some = left_ == 0 ? 256 : left_; filled < size && filled < some; ++filled) {
      made[filled] = left_ == 0 ? static_cast<uint8_t>(filled) : data_[filled];
    }
    // Twice as much each time: a byte at a time is most of what an input costs.
    while (filled < size) {
      const size_t more = filled < size - filled ? filled : size - filled;
      std::memcpy(made.get() + filled, made.get(), more);
      filled += more;
    }
    return made;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

// The product, or -1 where a factor is negative or it is more than `most`.
inline int64_t product(int64_t most, std::initializer_list<int64_t> factors) {
  int64_t result = 1;
  for (const int64_t factor : factors) {
    if (factor < 0) return -1;
    if (factor == 0) return 0;
    if (result > most / factor) return -1;
    result *= factor;
  }
  return result;
}

}  // namespace fuzz
