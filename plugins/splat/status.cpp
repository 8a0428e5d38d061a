// Argument checks that every launcher shares, and their words.
#include "splat.h"

namespace gsdd {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;

// Whether a * b stays within the limit; a, b >= 0.
bool fits(int64_t a, int64_t b) { return a == 0 || b <= kMaxElements / a; }

template <typename Params>
Status check_shape(const Params& p) {
  if (p.batch < 0 || p.count < 0) return Status::kBadShape;
  if (p.channels < 1 || p.channels > kMaxChannels) return Status::kBadShape;
  if (p.height < 1 || p.width < 1 || p.height > kMaxSide || p.width > kMaxSide) return Status::kBadShape;
  if (p.native_height < 1 || p.native_width < 1) return Status::kBadNativeSize;
  if (p.supersample < 1 || p.supersample > kMaxSupersample) return Status::kBadSupersample;
  if (size_of(p.gaussian_dtype) == 0) return Status::kBadDType;
  const int64_t pixels = int64_t{p.height} * p.width * p.channels;
  const int64_t numbers = kShapeParameters + p.channels;
  if (!fits(p.batch, pixels) || !fits(p.count, numbers) || !fits(p.batch, p.count * numbers)) {
    return Status::kTooLarge;
  }
  if (p.gaussians == nullptr && p.batch > 0 && p.count > 0) return Status::kNullPointer;
  return Status::kOk;
}

}  // namespace

Status check(const SplatParams& params) {
  if (const Status status = check_shape(params); status != Status::kOk) return status;
  if (size_of(params.image_dtype) == 0) return Status::kBadDType;
  if (params.images == nullptr && params.batch > 0) return Status::kNullPointer;
  return Status::kOk;
}

Status check(const SplatGradParams& params) {
  if (const Status status = check_shape(params); status != Status::kOk) return status;
  if (size_of(params.grad_dtype) == 0) return Status::kBadDType;
  if (params.batch > 0 && params.count > 0 && (params.grad_images == nullptr || params.grad_gaussians == nullptr)) {
    return Status::kNullPointer;
  }
  return Status::kOk;
}

const char* message(Status status) {
  switch (status) {
    case Status::kOk:
      return "done";
    case Status::kNullPointer:
      return "a tensor with elements has no address";
    case Status::kBadShape:
      return "the batch, the number of Gaussians, the channels (1 to 4) or the image's sides (1 to 16384) are out of "
             "range";
    case Status::kBadNativeSize:
      return "the native height and width must be at least 1";
    case Status::kBadSupersample:
      return "supersample must be 1 to 8";
    case Status::kBadDType:
      return "this dtype is not supported";
    case Status::kTooLarge:
      return "the batch has too many elements; decode it in parts";
    case Status::kLaunchFailed:
      return "the device refused the launch";
    case Status::kUnknownIsa:
      return "GSDD_CPU_ISA names no instruction set: it may be baseline, avx2 or avx512, or be left unset";
  }
  return "an unknown status";
}

}  // namespace gsdd
