// The attributes of a node, as plugins/op_contract.json lists them, read once and checked.
#pragma once

#include "api.h"

namespace gsdd::ort {

struct Attributes {
  int32_t height = 0, width = 0;  // of the images; the gradient takes them from its input
  int32_t native_height = 0, native_width = 0;
  int32_t supersample = kDefaultSupersample;
  int32_t dtype = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;  // the codes of onnx and of onnxruntime are the same
};

OrtStatus* read_splat_attributes(const OrtApi& api, const OrtKernelInfo* info, Attributes* attributes);
OrtStatus* read_gradient_attributes(const OrtApi& api, const OrtKernelInfo* info, Attributes* attributes);

// One attribute while shapes are inferred; false where it is missing or no integer.
bool infer_attribute(const OrtApi& api, const OrtShapeInferContext* context, const char* name, int64_t* value);

}  // namespace gsdd::ort
