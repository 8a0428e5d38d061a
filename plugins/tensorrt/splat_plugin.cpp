// GaussianSplat: gaussians [batch, count, 6 + channels] to images [batch, channels, height, width].
#include <new>

#include "log.h"
#include "plugin.h"
#include "splat_cuda.h"

namespace gsdd::tensorrt {
namespace {

using nvinfer1::DataType;
using nvinfer1::DimsExprs;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

class SplatPlugin final : public Plugin {
 public:
  explicit SplatPlugin(const Attributes& attributes) : Plugin(kSplatName, splat_rules(), attributes) {}

  nvinfer1::IPluginV3* clone() noexcept override { return new (std::nothrow) SplatPlugin(attributes()); }

  int32_t getOutputDataTypes(DataType* outputs, int32_t output_count, const DataType* inputs,
                             int32_t input_count) const noexcept override {
    if (!check_counts(input_count, 1, output_count)) return kFailed;
    DType ignored;
    if (!kernel_type(inputs[0], &ignored)) {
      log_error(kSplatName, "gaussians must be float32, float16 or bfloat16");
      return kFailed;
    }
    outputs[0] = tensorrt_type(attributes().dtype);
    return 0;
  }

  int32_t getOutputShapes(const DimsExprs* inputs, int32_t input_count, const DimsExprs*, int32_t, DimsExprs* outputs,
                          int32_t output_count, nvinfer1::IExprBuilder& builder) noexcept override {
    if (!check_counts(input_count, 1, output_count)) return kFailed;
    const DimsExprs& gaussians = inputs[0];
    if (!check_gaussians({gaussians.nbDims, {-1, -1, -1}})) return kFailed;
    const nvinfer1::IDimensionExpr& numbers = *gaussians.d[2];
    if (numbers.isConstant() && !check_channels(numbers.getConstantValue())) return kFailed;
    outputs[0].nbDims = 4;
    outputs[0].d[0] = gaussians.d[0];
    outputs[0].d[1] =
        builder.operation(nvinfer1::DimensionOperation::kSUB, numbers, *builder.constant(kShapeParameters));
    outputs[0].d[2] = builder.constant(attributes().height);
    outputs[0].d[3] = builder.constant(attributes().width);
    return 0;
  }

  bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* tensors, int32_t input_count,
                                 int32_t output_count) noexcept override {
    if (!check_counts(input_count, 1, output_count) || position < 0 || position > 1) return false;
    const PluginTensorDesc& tensor = tensors[position].desc;
    DType ignored;
    if (tensor.format != TensorFormat::kLINEAR || !kernel_type(tensor.type, &ignored)) return false;
    return position == 0 || tensor.type == tensorrt_type(attributes().dtype);
  }

  int32_t configurePlugin(const DynamicPluginTensorDesc* inputs, int32_t input_count, const DynamicPluginTensorDesc*,
                          int32_t output_count) noexcept override {
    return check_counts(input_count, 1, output_count) && check_gaussians(inputs[0].desc.dims) ? 0 : kFailed;
  }

  int32_t onShapeChange(const PluginTensorDesc* inputs, int32_t input_count, const PluginTensorDesc*,
                        int32_t output_count) noexcept override {
    return check_counts(input_count, 1, output_count) && check_gaussians(inputs[0].dims) ? 0 : kFailed;
  }

  int32_t enqueue(const PluginTensorDesc* input, const PluginTensorDesc* output, const void* const* inputs,
                  void* const* outputs, void*, cudaStream_t stream) noexcept override {
    SplatParams params;
    if (!check_gaussians(input[0].dims)) return kFailed;
    if (!kernel_type(input[0].type, &params.gaussian_dtype) || !kernel_type(output[0].type, &params.image_dtype)) {
      return report(Status::kBadDType, 0) ? 0 : kFailed;
    }
    params.gaussians = inputs[0];
    params.batch = input[0].dims.d[0];
    params.count = input[0].dims.d[1];
    params.channels = static_cast<int32_t>(input[0].dims.d[2]) - kShapeParameters;
    params.height = attributes().height;
    params.width = attributes().width;
    params.native_height = attributes().native_height;
    params.native_width = attributes().native_width;
    params.supersample = attributes().supersample;
    params.images = outputs[0];
    int cuda_error = 0;
    const Status status = splat_cuda(params, stream, &cuda_error);
    return report(status, cuda_error) ? 0 : kFailed;
  }
};

}  // namespace

nvinfer1::IPluginV3* new_splat_plugin(const Attributes& attributes) {
  return new (std::nothrow) SplatPlugin(attributes);
}

}  // namespace gsdd::tensorrt
