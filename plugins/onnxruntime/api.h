// What the operators need of onnxruntime's C API: one table of functions, errors as statuses, tensors as plain structs.
// No C++ wrapper of theirs: it throws, and it asks for the newest table.
#pragma once

#include <onnxruntime_c_api.h>

#include <cstddef>
#include <cstdint>

#include "../splat/splat.h"

namespace gsdd::ort {

// The oldest version that has every function called here: the library loads in this one and all later ones.
inline constexpr uint32_t kApiVersion = 18;

// Everything takes the table of the onnxruntime that calls: a process may have several, each with its own objects.

// A status with a formatted message, for the caller to return.
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
OrtStatus* error(const OrtApi& api, OrtErrorCode code, const char* format, ...);

#define GSDD_RETURN_IF_ERROR(expression)                   \
  do {                                                     \
    if (OrtStatus* status_ = (expression)) return status_; \
  } while (false)

// A tensor of a kernel context. `type` is what onnxruntime says it is.
struct Tensor {
  static constexpr size_t kMaxRank = 8;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  size_t rank = 0;
  int64_t dims[kMaxRank] = {};
  void* data = nullptr;
  int device = 0;
};

OrtStatus* input(const OrtApi& api, const OrtKernelContext* context, size_t index, Tensor* tensor);
OrtStatus* output(const OrtApi& api, OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank,
                  Tensor* tensor);

// False for a type that the kernel does not have.
bool kernel_type(ONNXTensorElementDataType type, DType* dtype);

}  // namespace gsdd::ort
