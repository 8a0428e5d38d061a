// The operators of the ONNX Runtime library in a runtime that gives any attributes, shapes and types, and where any
// call may fail: they give a status or an image. Every status that was made is released, and nothing else.
#include <cstdlib>
#include <string>
#include <vector>

#include "bytes.h"
#include "ops.h"

namespace {

constexpr int64_t kMost = 1 << 12;

struct Value {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<int64_t> dims;
  std::unique_ptr<uint8_t[]> data;
};

// One runtime at a time, which the functions of the table find here.
struct Runtime {
  fuzz::Bytes bytes;
  bool fails;  // whether a call may fail
  std::vector<Value> inputs;
  Value output;
  ONNXTensorElementDataType output_type;
  int statuses = 0, infos = 0;
};
Runtime* now;

OrtStatus* create_status(OrtErrorCode, const char* text) noexcept {
  if (text == nullptr || *text == 0) std::abort();
  ++now->statuses;
  return reinterpret_cast<OrtStatus*>(new std::string(text));
}

void release_status(OrtStatus* status) {
  if (status == nullptr) return;
  --now->statuses;
  delete reinterpret_cast<std::string*>(status);
}

OrtStatus* maybe() { return now->fails && now->bytes.below(32) == 0 ? create_status(ORT_FAIL, "it fails") : nullptr; }

#define MAY_FAIL \
  if (OrtStatus* status = maybe()) return status

int64_t attribute() { return now->bytes.below(4) ? 1 + now->bytes.below(16) : now->bytes.number(); }

OrtStatus* get_attribute(const OrtKernelInfo*, const char*, int64_t* out) noexcept {
  MAY_FAIL;
  *out = attribute();
  return nullptr;
}

OrtStatus* get_input(const OrtKernelContext*, size_t index, const OrtValue** out) noexcept {
  MAY_FAIL;
  const bool there = index < now->inputs.size() && now->bytes.below(32) != 0;
  *out = there ? reinterpret_cast<const OrtValue*>(&now->inputs[index]) : nullptr;
  return nullptr;
}

OrtStatus* get_output(OrtKernelContext*, size_t, const int64_t* dims, size_t rank, OrtValue** out) noexcept {
  MAY_FAIL;
  int64_t size = 1;
  for (size_t k = 0; k < rank; ++k) size = size < 0 ? -1 : fuzz::product(kMost, {size, dims[k]});
  now->output = {now->output_type, {dims, dims + rank}, nullptr};
  if (size >= 0) now->output.data.reset(new uint8_t[static_cast<size_t>(size) * 4]);
  // As where there is no memory for it.
  *out = size < 0 ? nullptr : reinterpret_cast<OrtValue*>(&now->output);
  return nullptr;
}

OrtStatus* get_shape(const OrtValue* value, OrtTensorTypeAndShapeInfo** out) noexcept {
  MAY_FAIL;
  ++now->infos;
  *out = reinterpret_cast<OrtTensorTypeAndShapeInfo*>(const_cast<OrtValue*>(value));
  return nullptr;
}

void release_info(OrtTensorTypeAndShapeInfo*) { --now->infos; }

const Value& of(const OrtTensorTypeAndShapeInfo* info) { return *reinterpret_cast<const Value*>(info); }

OrtStatus* get_type(const OrtTensorTypeAndShapeInfo* info, ONNXTensorElementDataType* out) noexcept {
  MAY_FAIL;
  *out = of(info).type;
  return nullptr;
}

OrtStatus* get_rank(const OrtTensorTypeAndShapeInfo* info, size_t* out) noexcept {
  MAY_FAIL;
  *out = of(info).dims.size();
  return nullptr;
}

OrtStatus* get_dims(const OrtTensorTypeAndShapeInfo* info, int64_t* dims, size_t rank) noexcept {
  MAY_FAIL;
  if (rank != of(info).dims.size()) std::abort();
  for (size_t k = 0; k < rank; ++k) dims[k] = of(info).dims[k];
  return nullptr;
}

OrtStatus* get_names(const OrtTensorTypeAndShapeInfo* info, const char* names[], size_t rank) noexcept {
  MAY_FAIL;
  if (rank != of(info).dims.size()) std::abort();
  for (size_t k = 0; k < rank; ++k) names[k] = now->bytes.coin() ? nullptr : "name";
  return nullptr;
}

OrtStatus* get_memory(const OrtValue*, const OrtMemoryInfo** out) noexcept {
  MAY_FAIL;
  *out = nullptr;
  return nullptr;
}

OrtStatus* get_device(const OrtMemoryInfo*, int* out) noexcept {
  MAY_FAIL;
  *out = 0;
  return nullptr;
}

OrtStatus* get_data(OrtValue* value, void** out) noexcept {
  MAY_FAIL;
  *out = reinterpret_cast<Value*>(value)->data.get();
  return nullptr;
}

OrtStatus* parallel_for(const OrtKernelContext*, void (*task)(void*, size_t), size_t total, size_t,
                        void* data) noexcept {
  MAY_FAIL;
  for (size_t k = 0; k < total; ++k) task(data, k);
  return nullptr;
}

OrtStatus* infer_input(const OrtShapeInferContext*, size_t index, OrtTensorTypeAndShapeInfo** out) noexcept {
  MAY_FAIL;
  *out = reinterpret_cast<OrtTensorTypeAndShapeInfo*>(&now->inputs[index < now->inputs.size() ? index : 0]);
  return nullptr;
}

OrtStatus* infer_attribute(const OrtShapeInferContext*, const char*, const OrtOpAttr** out) noexcept {
  MAY_FAIL;
  *out = nullptr;
  return nullptr;
}

OrtStatus* read_attribute(const OrtOpAttr*, OrtOpAttrType, void* out, size_t, size_t*) noexcept {
  MAY_FAIL;
  const int64_t value = attribute();
  std::memcpy(out, &value, sizeof value);
  return nullptr;
}

OrtStatus* create_info(OrtTensorTypeAndShapeInfo** out) noexcept {
  MAY_FAIL;
  ++now->infos;
  *out = reinterpret_cast<OrtTensorTypeAndShapeInfo*>(&now->output);
  return nullptr;
}

OrtStatus* set_type(OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType) noexcept { return maybe(); }
OrtStatus* set_dims(OrtTensorTypeAndShapeInfo*, const int64_t*, size_t) noexcept { return maybe(); }

OrtStatus* set_names(OrtTensorTypeAndShapeInfo*, const char** names, size_t rank) noexcept {
  // As onnxruntime: each is read as a text.
  for (size_t k = 0; k < rank; ++k) {
    if (names[k] != nullptr && std::string(names[k]).size() > 100) std::abort();
  }
  return maybe();
}

OrtStatus* set_output(const OrtShapeInferContext*, size_t, const OrtTensorTypeAndShapeInfo*) noexcept {
  return maybe();
}

OrtApi table() {
  OrtApi api{};
  api.CreateStatus = create_status;
  api.ReleaseStatus = release_status;
  api.KernelInfoGetAttribute_int64 = get_attribute;
  api.KernelContext_GetInput = get_input;
  api.KernelContext_GetOutput = get_output;
  api.GetTensorTypeAndShape = get_shape;
  api.ReleaseTensorTypeAndShapeInfo = release_info;
  api.GetTensorElementType = get_type;
  api.GetDimensionsCount = get_rank;
  api.GetDimensions = get_dims;
  api.GetSymbolicDimensions = get_names;
  api.GetTensorMemoryInfo = get_memory;
  api.MemoryInfoGetId = get_device;
  api.GetTensorMutableData = get_data;
  api.KernelContext_ParallelFor = parallel_for;
  api.ShapeInferContext_GetInputTypeShape = infer_input;
  api.ShapeInferContext_GetAttribute = infer_attribute;
  api.ReadOpAttr = read_attribute;
  api.CreateTensorTypeAndShapeInfo = create_info;
  api.SetTensorElementType = set_type;
  api.SetDimensions = set_dims;
  api.SetSymbolicDimensions = set_names;
  api.ShapeInferContext_SetOutputTypeShape = set_output;
  return api;
}

ONNXTensorElementDataType any_type(fuzz::Bytes& bytes) {
  static constexpr ONNXTensorElementDataType kOurs[] = {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                                                        ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
                                                        ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16};
  return bytes.below(8) ? kOurs[bytes.below(3)] : static_cast<ONNXTensorElementDataType>(bytes.below(20));
}

// A tensor that onnxruntime could hold: no negative side, and memory for all of it.
Value any_tensor(fuzz::Bytes& bytes, bool images) {
  Value value;
  value.type = any_type(bytes);
  const int rank = bytes.below(8) ? (images ? 4 : 3) : bytes.below(12);
  for (int k = 0; k < rank; ++k) {
    const bool colors = !images && k == 2 && bytes.below(8);
    value.dims.push_back(colors ? 7 + bytes.below(4) : bytes.below(12));
  }
  int64_t size = 1;
  for (const int64_t dim : value.dims)
    size = fuzz::product(kMost, {size, dim}) < 0 ? (value.dims = {0}, 0) : size * dim;
  // As many bytes as its type has, none more: those that are not ours have at least one.
  const int64_t width = value.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 2;
  value.data = bytes.tensor(static_cast<size_t>(size * width));
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const OrtApi api = table();
  Runtime runtime{{data, size}, false, {}, {}, ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED};
  now = &runtime;
  fuzz::Bytes& bytes = runtime.bytes;
  runtime.fails = bytes.coin();
  const bool gradient = bytes.coin();
  if (gradient) {
    runtime.inputs.push_back(any_tensor(bytes, true));
    // onnxruntime holds to the types that the operator names.
    runtime.inputs[0].type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    int64_t numbers = 1;
    for (const int64_t dim : runtime.inputs[0].dims) numbers *= dim;
    runtime.inputs[0].data = bytes.tensor(static_cast<size_t>(numbers) * 4);
  }
  runtime.inputs.push_back(any_tensor(bytes, false));
  runtime.output_type = gradient ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : any_type(bytes);
  gsdd::ort::Operator op{};
  const auto make = gradient ? gsdd::ort::make_splat_gradient : gsdd::ort::make_splat;
  make(&op, api, gsdd::ort::kCpuLauncher, runtime.inputs.back().type);
  release_status(op.InferOutputShapeFn(&op, nullptr));
  void* kernel = nullptr;
  OrtStatus* status = op.CreateKernelV2(&op, &api, nullptr, &kernel);
  if (status == nullptr) {
    for (int run = 0; run < 2; ++run) release_status(op.KernelComputeV2(kernel, nullptr));
    op.KernelDestroy(kernel);
  }
  release_status(status);
  if (runtime.statuses != 0 || runtime.infos != 0) std::abort();
  return 0;
}
