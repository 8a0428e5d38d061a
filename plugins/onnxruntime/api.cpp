#include "api.h"

#include <cstdarg>
#include <cstdio>

namespace gsdd::ort {
namespace {

OrtStatus* read(const OrtApi& api, const OrtValue* value, Tensor* tensor) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  GSDD_RETURN_IF_ERROR(api.GetTensorTypeAndShape(value, &info));
  OrtStatus* status = api.GetTensorElementType(info, &tensor->type);
  if (status == nullptr) status = api.GetDimensionsCount(info, &tensor->rank);
  if (status == nullptr && tensor->rank > Tensor::kMaxRank) {
    status = error(api, ORT_INVALID_ARGUMENT, "gsdd: a tensor of %zu dimensions is none of ours", tensor->rank);
  }
  if (status == nullptr) status = api.GetDimensions(info, tensor->dims, tensor->rank);
  api.ReleaseTensorTypeAndShapeInfo(info);
  if (status != nullptr) return status;

  const OrtMemoryInfo* memory = nullptr;
  GSDD_RETURN_IF_ERROR(api.GetTensorMemoryInfo(value, &memory));
  GSDD_RETURN_IF_ERROR(api.MemoryInfoGetId(memory, &tensor->device));
  // The table has no function for constant data; inputs are only read.
  return api.GetTensorMutableData(const_cast<OrtValue*>(value), &tensor->data);
}

}  // namespace

OrtStatus* error(const OrtApi& api, OrtErrorCode code, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return api.CreateStatus(code, text);
}

OrtStatus* input(const OrtApi& api, const OrtKernelContext* context, size_t index, Tensor* tensor) {
  const OrtValue* value = nullptr;
  GSDD_RETURN_IF_ERROR(api.KernelContext_GetInput(context, index, &value));
  if (value == nullptr) return error(api, ORT_INVALID_ARGUMENT, "gsdd: input %zu is missing", index);
  return read(api, value, tensor);
}

OrtStatus* output(const OrtApi& api, OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank,
                  Tensor* tensor) {
  OrtValue* value = nullptr;
  GSDD_RETURN_IF_ERROR(api.KernelContext_GetOutput(context, index, dims, rank, &value));
  if (value == nullptr) return error(api, ORT_FAIL, "gsdd: onnxruntime gave no memory for output %zu", index);
  return read(api, value, tensor);
}

bool kernel_type(ONNXTensorElementDataType type, DType* dtype) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      *dtype = DType::kFloat32;
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      *dtype = DType::kFloat16;
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
      *dtype = DType::kBFloat16;
      return true;
    default:
      return false;
  }
}

}  // namespace gsdd::ort
