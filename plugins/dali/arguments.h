// What the operator does on both backends: read its arguments once, say what comes out, and fill the kernel's
// parameters for samples that lie together in memory. Whatever is wrong is an exception, as DALI wants it.
#pragma once

#include <dali/pipeline/operator/checkpointing/stateless_operator.h>

#include <cstdint>
#include <vector>

#include "../splat/splat.h"

namespace gsdd::dali_door {

struct Arguments {
  explicit Arguments(const dali::OpSpec& spec);

  int32_t height, width, native_height, native_width, supersample;
  DType dtype;
  dali::DALIDataType dali_dtype;
  bool channels_last;
};

// Shape and type of the images of a batch of Gaussians, [count, 6 + channels] a sample. Throws where they are none.
dali::OutputDesc describe(const Arguments& arguments, const dali::TensorListShape<>& gaussians,
                          dali::DALIDataType type);

void raise_unless_ok(Status status);

// Samples first .. first + batch - 1, with the same count and channels, one behind the other in memory.
struct Part {
  SplatParams params;
  int first;
};

// The batch in as few parts as it has: one where all samples have as many Gaussians and lie together, which a batch
// that comes from one array does.
template <typename Backend>
std::vector<Part> parts_of(const Arguments& arguments, const dali::TensorList<Backend>& gaussians,
                           dali::TensorList<Backend>& images) {
  std::vector<Part> found;
  const bool half = gaussians.type() == DALI_FLOAT16;
  const int64_t image_bytes = size_of(arguments.dtype), number_bytes = half ? 2 : 4;
  for (int sample = 0; sample < gaussians.num_samples(); ++sample) {
    const auto& shape = gaussians.tensor_shape(sample);
    const auto channels = static_cast<int32_t>(shape[1]) - kShapeParameters;
    auto* from = static_cast<const char*>(gaussians.raw_tensor(sample));
    auto* to = static_cast<char*>(images.raw_mutable_tensor(sample));
    if (!found.empty()) {
      SplatParams& last = found.back().params;
      const int64_t batch = sample - found.back().first;
      const int64_t pixels = int64_t{last.channels} * last.height * last.width;
      if (last.count == shape[0] && last.channels == channels &&
          (last.count == 0 || from == static_cast<const char*>(last.gaussians) +
                                          batch * last.count * (kShapeParameters + channels) * number_bytes) &&
          to == static_cast<char*>(last.images) + batch * pixels * image_bytes) {
        ++last.batch;
        continue;
      }
    }
    SplatParams params;
    params.gaussians = from;
    params.gaussian_dtype = half ? DType::kFloat16 : DType::kFloat32;
    params.batch = 1;
    params.count = shape[0];
    params.channels = channels;
    params.height = arguments.height;
    params.width = arguments.width;
    params.native_height = arguments.native_height;
    params.native_width = arguments.native_width;
    params.supersample = arguments.supersample;
    params.images = to;
    params.image_dtype = arguments.dtype;
    params.channels_last = arguments.channels_last;
    found.push_back({params, sample});
  }
  return found;
}

// DALI asks Setup for the images' shape, makes room for them, and then calls RunImpl. There is no state to be saved.
template <typename Backend>
class Splat : public dali::StatelessOperator<Backend> {
 public:
  explicit Splat(const dali::OpSpec& spec) : dali::StatelessOperator<Backend>(spec), arguments_(spec) {}

 protected:
  bool SetupImpl(std::vector<dali::OutputDesc>& outputs, const dali::Workspace& workspace) override {
    const auto& gaussians = workspace.Input<Backend>(0);
    outputs.assign(1, describe(arguments_, gaussians.shape(), gaussians.type()));
    return true;
  }

  // The parts of the workspace's batch, whose images have been given their layout.
  std::vector<Part> prepared(dali::Workspace& workspace) {
    auto& images = workspace.Output<Backend>(0);
    images.SetLayout(arguments_.channels_last ? "HWC" : "CHW");
    return parts_of(arguments_, workspace.Input<Backend>(0), images);
  }

  const Arguments arguments_;
};

}  // namespace gsdd::dali_door
