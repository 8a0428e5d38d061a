// GaussianSplatGrad: grad_images [batch, channels, height, width] and gaussians [batch, count, 6 + channels] to
// grad_gaussians, of the shape of gaussians. Both gradients are float32.
#include <cinttypes>
#include <new>

#include "log.h"
#include "plugin.h"
#include "splat_cuda.h"

namespace gsdd::tensorrt {
namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::DimsExprs;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

constexpr const char* kShapes =
    "grad_images must be [batch, channels, height, width] with the batch and the channels of gaussians";

class SplatGradPlugin final : public Plugin {
 public:
  explicit SplatGradPlugin(const Attributes& attributes) : Plugin(kSplatGradName, splat_grad_rules(), attributes) {}

  nvinfer1::IPluginV3* clone() noexcept override { return new (std::nothrow) SplatGradPlugin(attributes()); }

  int32_t getOutputDataTypes(DataType* outputs, int32_t output_count, const DataType* inputs,
                             int32_t input_count) const noexcept override {
    if (!check_counts(input_count, 2, output_count)) return kFailed;
    DType ignored;
    if (inputs[0] != DataType::kFLOAT || !kernel_type(inputs[1], &ignored)) {
      log_error(kSplatGradName, "grad_images must be float32, and gaussians float32, float16 or bfloat16");
      return kFailed;
    }
    outputs[0] = DataType::kFLOAT;
    return 0;
  }

  int32_t getOutputShapes(const DimsExprs* inputs, int32_t input_count, const DimsExprs*, int32_t, DimsExprs* outputs,
                          int32_t output_count, nvinfer1::IExprBuilder&) noexcept override {
    if (!check_counts(input_count, 2, output_count)) return kFailed;
    if (inputs[0].nbDims != 4) {
      log_error(kSplatGradName, "%s", kShapes);
      return kFailed;
    }
    if (!check_gaussians({inputs[1].nbDims, {-1, -1, -1}})) return kFailed;
    const nvinfer1::IDimensionExpr& numbers = *inputs[1].d[2];
    if (numbers.isConstant() && !check_channels(numbers.getConstantValue())) return kFailed;
    outputs[0] = inputs[1];
    return 0;
  }

  bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* tensors, int32_t input_count,
                                 int32_t output_count) noexcept override {
    if (!check_counts(input_count, 2, output_count) || position < 0 || position > 2) return false;
    const PluginTensorDesc& tensor = tensors[position].desc;
    DType ignored;
    if (tensor.format != TensorFormat::kLINEAR || !kernel_type(tensor.type, &ignored)) return false;
    return position == 1 || tensor.type == DataType::kFLOAT;
  }

  int32_t configurePlugin(const DynamicPluginTensorDesc* inputs, int32_t input_count, const DynamicPluginTensorDesc*,
                          int32_t output_count) noexcept override {
    if (!check_counts(input_count, 2, output_count)) return kFailed;
    return check_shapes(inputs[0].desc.dims, inputs[1].desc.dims) ? 0 : kFailed;
  }

  int32_t onShapeChange(const PluginTensorDesc* inputs, int32_t input_count, const PluginTensorDesc*,
                        int32_t output_count) noexcept override {
    if (!check_counts(input_count, 2, output_count)) return kFailed;
    return check_shapes(inputs[0].dims, inputs[1].dims) ? 0 : kFailed;
  }

  int32_t enqueue(const PluginTensorDesc* input, const PluginTensorDesc* output, const void* const* inputs,
                  void* const* outputs, void*, cudaStream_t stream) noexcept override {
    SplatGradParams params;
    if (!check_shapes(input[0].dims, input[1].dims)) return kFailed;
    if (!kernel_type(input[1].type, &params.gaussian_dtype) || input[0].type != DataType::kFLOAT ||
        output[0].type != DataType::kFLOAT) {
      return report(Status::kBadDType, 0) ? 0 : kFailed;
    }
    const Dims& images = input[0].dims;
    if (images.d[2] > kMaxSide || images.d[3] > kMaxSide) return report(Status::kBadShape, 0) ? 0 : kFailed;
    params.grad_images = static_cast<const float*>(inputs[0]);
    params.gaussians = inputs[1];
    params.batch = input[1].dims.d[0];
    params.count = input[1].dims.d[1];
    params.channels = static_cast<int32_t>(images.d[1]);
    params.height = static_cast<int32_t>(images.d[2]);
    params.width = static_cast<int32_t>(images.d[3]);
    params.native_height = attributes().native_height;
    params.native_width = attributes().native_width;
    params.supersample = attributes().supersample;
    params.grad_gaussians = static_cast<float*>(outputs[0]);
    int cuda_error = 0;
    const Status status = splat_backward_cuda(params, stream, &cuda_error);
    return report(status, cuda_error) ? 0 : kFailed;
  }

 private:
  bool check_shapes(const Dims& images, const Dims& gaussians) const {
    if (!check_gaussians(gaussians)) return false;
    const auto differ = [](int64_t a, int64_t b) { return a != -1 && b != -1 && a != b; };
    if (images.nbDims != 4 || differ(images.d[0], gaussians.d[0]) ||
        (gaussians.d[2] != -1 && differ(images.d[1], gaussians.d[2] - kShapeParameters))) {
      log_error(kSplatGradName, "%s", kShapes);
      return false;
    }
    return true;
  }
};

}  // namespace

nvinfer1::IPluginV3* new_splat_grad_plugin(const Attributes& attributes) {
  return new (std::nothrow) SplatGradPlugin(attributes);
}

}  // namespace gsdd::tensorrt
