// The splatting kernel: arguments, status, and the launchers of each processor.
//
// Plain C++ (and CUDA), no framework: every door fills one of these structs and calls one launcher. A launcher
// checks its arguments, allocates nothing that grows with the batch, owns no thread and throws nothing.
#pragma once

#include <cstdint>

#include "constants.h"

namespace gsdd {

enum class DType : int32_t { kFloat32 = 0, kFloat16 = 1, kBFloat16 = 2 };

// Bytes of one number; 0 for a value that is no DType.
constexpr int64_t size_of(DType dtype) {
  return dtype == DType::kFloat32 ? 4 : dtype == DType::kFloat16 || dtype == DType::kBFloat16 ? 2 : 0;
}

enum class Status : int32_t {
  kOk = 0,
  kNullPointer,     // a tensor with elements has no address
  kBadShape,        // a negative count, or a side or channel count out of its limits
  kBadNativeSize,   // native height or width below 1
  kBadSupersample,  // not in 1 .. kMaxSupersample
  kBadDType,        // a dtype that this launcher does not take
  kTooLarge,        // the tensor has more elements than the launcher can address
  kLaunchFailed,    // the device refused the launch; see cuda_error in the launcher's header
  kUnknownIsa,      // GSDD_CPU_ISA names no instruction set
};

// One sentence for a person; never null.
const char* message(Status status);

// Arguments of the forward pass. Every tensor is contiguous.
struct SplatParams {
  const void* gaussians = nullptr;  // [batch, count, 6 + channels]
  DType gaussian_dtype = DType::kFloat32;
  int64_t batch = 0;                            // images
  int64_t count = 0;                            // Gaussians per image
  int32_t channels = 3;                         // colour channels, 1 .. kMaxChannels
  int32_t height = 0, width = 0;                // of the output, pixels
  int32_t native_height = 0, native_width = 0;  // size that l11, l21, l22 are measured in, pixels
  int32_t supersample = kDefaultSupersample;    // samples per pixel and axis
  void* images = nullptr;                       // [batch, channels, height, width], or [batch, height, width, channels]
  DType image_dtype = DType::kFloat32;
  bool channels_last = false;          // the second of those layouts
  const float* mean = nullptr;         // [channels], or null: subtracted from the finished pixel
  const float* inverse_std = nullptr;  // [channels], or null: then multiplied
};

// Arguments of the backward pass. It needs nothing from the forward pass.
struct SplatGradParams {
  const void* gaussians = nullptr;  // [batch, count, 6 + channels]
  DType gaussian_dtype = DType::kFloat32;
  int64_t batch = 0;
  int64_t count = 0;
  int32_t channels = 3;
  int32_t height = 0, width = 0;
  int32_t native_height = 0, native_width = 0;
  int32_t supersample = kDefaultSupersample;
  const void* grad_images = nullptr;   // [batch, channels, height, width], or [batch, height, width, channels]
  DType grad_dtype = DType::kFloat32;  // the launcher for the CPU takes float32 in the first layout, and no scale
  bool channels_last = false;          // the second of those layouts
  const float* scale = nullptr;        // [channels], or null: what the image's gradient is to be multiplied by
  float* grad_gaussians = nullptr;     // [batch, count, 6 + channels]
};

// The caller's thread pool: calls body(context, begin, end) on parts that cover [0, count), each part at least
// `grain` long except the last, and returns when all are done. `pool` is handed through. The body takes up to 350 KB of
// its thread's stack, and nothing else.
struct ParallelFor {
  using Body = void (*)(void* context, int64_t begin, int64_t end);
  void (*run)(void* pool, int64_t count, int64_t grain, Body body, void* context) = nullptr;
  void* pool = nullptr;
  int32_t threads = 1;  // how many the pool may use at once
};

Status check(const SplatParams& params);
Status check(const SplatGradParams& params);

// The instruction set that the CPU kernel was chosen for: "baseline", "avx2" or "avx512". The environment variable
// GSDD_CPU_ISA, read once, asks for a lower one; with any other name in it this is null, and the launchers refuse.
const char* cpu_kernel_name();

Status splat_cpu(const SplatParams& params, const ParallelFor& parallel);
Status splat_backward_cpu(const SplatGradParams& params, const ParallelFor& parallel);

}  // namespace gsdd
