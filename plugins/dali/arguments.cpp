#include "arguments.h"

#include <stdexcept>
#include <string>

namespace gsdd::dali_door {
namespace {

[[noreturn]] void refuse(const std::string& why) { throw std::invalid_argument("gsdd.gaussian_splat: " + why); }

int32_t side(const dali::OpSpec& spec, const char* name, int64_t limit) {
  const int64_t value = spec.GetArgument<int>(name);
  if (value >= 1 && value <= limit) return static_cast<int32_t>(value);
  refuse(std::string(name) + " must be 1 to " + std::to_string(limit) + ", got " + std::to_string(value));
}

DType kernel_dtype(dali::DALIDataType type, const char* what) {
  if (type == DALI_FLOAT) return DType::kFloat32;
  if (type == DALI_FLOAT16) return DType::kFloat16;
  refuse(std::string(what) + " must be FLOAT or FLOAT16");
}

}  // namespace

Arguments::Arguments(const dali::OpSpec& spec)
    : height(side(spec, "height", kMaxSide)),
      width(side(spec, "width", kMaxSide)),
      native_height(side(spec, "native_height", INT32_MAX)),
      native_width(side(spec, "native_width", INT32_MAX)),
      supersample(side(spec, "supersample", kMaxSupersample)),
      dali_dtype(spec.GetArgument<dali::DALIDataType>("dtype")),
      channels_last(spec.GetArgument<bool>("channels_last")) {
  dtype = kernel_dtype(dali_dtype, "dtype");
}

dali::OutputDesc describe(const Arguments& arguments, const dali::TensorListShape<>& gaussians,
                          dali::DALIDataType type) {
  kernel_dtype(type, "gaussians");
  if (gaussians.sample_dim() != 2) {
    refuse("a sample of gaussians must be [count, 6 + channels], got " + std::to_string(gaussians.sample_dim()) +
           " dimensions");
  }
  dali::OutputDesc images{dali::TensorListShape<>(gaussians.num_samples(), 3), arguments.dali_dtype};
  for (int sample = 0; sample < gaussians.num_samples(); ++sample) {
    const int64_t numbers = gaussians.tensor_shape_span(sample)[1];
    const int64_t channels = numbers - kShapeParameters;
    if (channels < 1 || channels > kMaxChannels) {
      refuse("the last dimension of gaussians must be 6 + channels with 1 to " + std::to_string(kMaxChannels) +
             " channels, got " + std::to_string(numbers) + " in sample " + std::to_string(sample));
    }
    const int64_t height = arguments.height, width = arguments.width;
    images.shape.set_tensor_shape(sample, arguments.channels_last ? dali::TensorShape<>{height, width, channels}
                                                                  : dali::TensorShape<>{channels, height, width});
  }
  return images;
}

void raise_unless_ok(Status status) {
  if (status != Status::kOk) refuse(message(status));
}

}  // namespace gsdd::dali_door
