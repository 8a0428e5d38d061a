// Element types and formats, and what enqueue refuses.
#include "checks.h"

namespace host {
namespace {

using nvinfer1::DataType;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

bool is_float(DataType type) { return type == DataType::kFLOAT || type == DataType::kHALF || type == DataType::kBF16; }

// What the plugin may answer for its tensor at `position`: a float type in linear layout, or one exact type.
bool expected_format(bool any, DataType exact, DataType type, TensorFormat format) {
  return format == TensorFormat::kLINEAR && (any ? is_float(type) : type == exact);
}

}  // namespace

void check_types(Checks& check, Library& library) {
  const std::pair<int32_t, DataType> outputs[] = {{1, DataType::kFLOAT}, {10, DataType::kHALF}, {16, DataType::kBF16}};
  PluginPointer grad = create(*library.creators["GaussianSplatGrad"], kSplatGrad);
  int wrong_types = 0, wrong_formats = 0;
  for (const auto& [onnx_type, output] : outputs) {
    Attributes attributes = kSplat;
    attributes.back().second = onnx_type;
    PluginPointer splat = create(*library.creators["GaussianSplat"], attributes);
    for (int32_t t = 0; t < nvinfer1::EnumMax<DataType>(); ++t) {
      const DataType type = static_cast<DataType>(t);
      DataType given = DataType::kINT8;
      const bool taken = build(*splat).getOutputDataTypes(&given, 1, &type, 1) == 0;
      wrong_types += taken != is_float(type) || (taken && given != output);
      const DataType pair[2] = {type, output}, swapped[2] = {DataType::kFLOAT, type};
      const bool images_taken = build(*grad).getOutputDataTypes(&given, 1, pair, 2) == 0;
      wrong_types += images_taken != (type == DataType::kFLOAT);
      const bool gaussians_taken = build(*grad).getOutputDataTypes(&given, 1, swapped, 2) == 0;
      wrong_types += gaussians_taken != is_float(type) || (gaussians_taken && given != DataType::kFLOAT);
      for (int32_t f = 0; f < nvinfer1::EnumMax<TensorFormat>(); ++f) {
        const TensorFormat format = static_cast<TensorFormat>(f);
        for (int32_t position = 0; position < 3; ++position) {
          DynamicPluginTensorDesc tensors[3] = {};
          tensors[position].desc = tensor({2, 7, 9}, type, format);
          if (position < 2) {
            wrong_formats += build(*splat).supportsFormatCombination(position, tensors, 1, 1) !=
                             expected_format(position == 0, output, type, format);
          }
          wrong_formats += build(*grad).supportsFormatCombination(position, tensors, 2, 1) !=
                           expected_format(position == 1, DataType::kFLOAT, type, format);
        }
      }
    }
    check.that(!build(*splat).supportsFormatCombination(2, nullptr, 1, 1), "GaussianSplat has no third tensor");
  }
  check.that(wrong_types == 0, "output types are exact for every input type");
  check.that(wrong_formats == 0, "formats: linear, and float32, float16 or bfloat16 where they may be");
}

void check_enqueue_refusals(Checks& check, Library& library) {
  PluginPointer splat = create(*library.creators["GaussianSplat"], kSplat);
  PluginPointer grad = create(*library.creators["GaussianSplatGrad"], kSplatGrad);
  const auto enqueue = [&](const PluginTensorDesc& in, const PluginTensorDesc& out) {
    const void* inputs[1] = {nullptr};
    void* outputs[1] = {nullptr};
    return runtime(*splat).enqueue(&in, &out, inputs, outputs, nullptr, nullptr) == 0;
  };
  const PluginTensorDesc images = tensor({2, 3, 24, 40}, DataType::kHALF);
  check.that(enqueue(tensor({0, 7, 9}, DataType::kBF16), tensor({0, 3, 24, 40}, DataType::kFLOAT)),
             "GaussianSplat: an empty batch is done at once");
  check.refused([&] { return enqueue(tensor({2, 7, 9}, DataType::kBF16), images); }, "no address",
                "GaussianSplat: null tensors");
  check.refused([&] { return enqueue(tensor({2, 7, 9}, DataType::kINT8), images); }, "dtype", "GaussianSplat: int8");
  check.refused([&] { return enqueue(tensor({2, 9}, DataType::kBF16), images); }, "dimensions", "GaussianSplat: rank");
  const PluginTensorDesc in[2] = {tensor({2, 3, 24, 40}, DataType::kFLOAT), tensor({2, 7, 9}, DataType::kFLOAT)};
  const PluginTensorDesc out = tensor({2, 7, 9}, DataType::kFLOAT);
  const void* inputs[2] = {nullptr, nullptr};
  void* outputs[1] = {nullptr};
  check.refused([&] { return runtime(*grad).enqueue(in, &out, inputs, outputs, nullptr, nullptr) == 0; }, "no address",
                "GaussianSplatGrad: null tensors");
}

}  // namespace host
