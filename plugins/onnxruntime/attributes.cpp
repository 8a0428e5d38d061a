#include "attributes.h"

#include <cinttypes>
#include <initializer_list>

namespace gsdd::ort {
namespace {

struct Rule {
  const char* name;
  int32_t Attributes::* field;
  int64_t limit;
  bool required;
};

constexpr Rule kHeight{"height", &Attributes::height, kMaxSide, true};
constexpr Rule kWidth{"width", &Attributes::width, kMaxSide, true};
constexpr Rule kNativeHeight{"native_height", &Attributes::native_height, INT32_MAX, true};
constexpr Rule kNativeWidth{"native_width", &Attributes::native_width, INT32_MAX, true};
constexpr Rule kSupersample{"supersample", &Attributes::supersample, kMaxSupersample, false};
constexpr Rule kDType{"dtype", &Attributes::dtype, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, false};

OrtStatus* read(const OrtApi& api, const OrtKernelInfo* info, const char* op, const Rule& rule,
                Attributes* attributes) {
  int64_t value = 0;
  if (OrtStatus* absent = api.KernelInfoGetAttribute_int64(info, rule.name, &value)) {
    api.ReleaseStatus(absent);
    if (!rule.required) return nullptr;
    return error(api, ORT_INVALID_ARGUMENT, "gsdd::%s: the attribute %s is missing or no integer", op, rule.name);
  }
  if (value < 1 || value > rule.limit) {
    return error(api, ORT_INVALID_ARGUMENT, "gsdd::%s: %s must be 1 to %" PRId64 ", got %" PRId64, op, rule.name,
                 rule.limit, value);
  }
  attributes->*rule.field = static_cast<int32_t>(value);
  return nullptr;
}

}  // namespace

OrtStatus* read_splat_attributes(const OrtApi& api, const OrtKernelInfo* info, Attributes* attributes) {
  for (const Rule& rule : {kHeight, kWidth, kNativeHeight, kNativeWidth, kSupersample, kDType}) {
    GSDD_RETURN_IF_ERROR(read(api, info, "GaussianSplat", rule, attributes));
  }
  DType dtype;
  if (kernel_type(static_cast<ONNXTensorElementDataType>(attributes->dtype), &dtype)) return nullptr;
  return error(api, ORT_INVALID_ARGUMENT,
               "gsdd::GaussianSplat: dtype must be 1 (float32), 10 (float16) or 16 (bfloat16), got %" PRId32,
               attributes->dtype);
}

OrtStatus* read_gradient_attributes(const OrtApi& api, const OrtKernelInfo* info, Attributes* attributes) {
  for (const Rule& rule : {kNativeHeight, kNativeWidth, kSupersample}) {
    GSDD_RETURN_IF_ERROR(read(api, info, "GaussianSplatGrad", rule, attributes));
  }
  return nullptr;
}

bool infer_attribute(const OrtApi& api, const OrtShapeInferContext* context, const char* name, int64_t* value) {
  const OrtOpAttr* attribute = nullptr;
  size_t size = 0;
  OrtStatus* status = api.ShapeInferContext_GetAttribute(context, name, &attribute);
  if (status == nullptr) status = api.ReadOpAttr(attribute, ORT_OP_ATTR_INT, value, sizeof(*value), &size);
  if (status == nullptr) return true;
  api.ReleaseStatus(status);
  return false;
}

}  // namespace gsdd::ort
