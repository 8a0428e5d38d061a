#include "ops.h"

#include <cinttypes>
#include <new>

#include "attributes.h"

namespace gsdd::ort {
namespace {

constexpr int64_t kUnknown = -1;

struct Kernel {
  const OrtApi& api;
  const Launcher& launcher;
  const Attributes attributes;
  std::atomic<int32_t> threads{0};

  Call call(const OrtKernelContext* context) { return {api, context, threads}; }
};

const Operator& self(const OrtCustomOp* op) { return *static_cast<const Operator*>(op); }

OrtStatus* check_gaussians(const OrtApi& api, const char* op, const Tensor& gaussians, int32_t* channels,
                           DType* dtype) {
  if (gaussians.rank != 3) {
    return error(api, ORT_INVALID_ARGUMENT,
                 "gsdd::%s: gaussians must be [batch, count, 6 + channels], got %zu dimensions", op, gaussians.rank);
  }
  const int64_t given = gaussians.dims[2] - kShapeParameters;
  if (given < 1 || given > kMaxChannels) {
    return error(api, ORT_INVALID_ARGUMENT,
                 "gsdd::%s: the last dimension of gaussians must be 6 + channels with 1 to %d channels, got %" PRId64,
                 op, kMaxChannels, gaussians.dims[2]);
  }
  if (!kernel_type(gaussians.type, dtype)) {
    return error(api, ORT_INVALID_ARGUMENT, "gsdd::%s: gaussians must be float32, float16 or bfloat16", op);
  }
  *channels = static_cast<int32_t>(given);
  return nullptr;
}

OrtStatus* compute_splat(void* data, OrtKernelContext* context) {
  Kernel& kernel = *static_cast<Kernel*>(data);
  const OrtApi& api = kernel.api;
  const Attributes& attributes = kernel.attributes;
  Tensor gaussians, images;
  GSDD_RETURN_IF_ERROR(input(api, context, 0, &gaussians));
  SplatParams params;
  GSDD_RETURN_IF_ERROR(check_gaussians(api, "GaussianSplat", gaussians, &params.channels, &params.gaussian_dtype));
  const int64_t dims[] = {gaussians.dims[0], params.channels, attributes.height, attributes.width};
  GSDD_RETURN_IF_ERROR(output(api, context, 0, dims, 4, &images));
  if (images.type != attributes.dtype || !kernel_type(images.type, &params.image_dtype)) {
    return error(api, ORT_INVALID_ARGUMENT,
                 "gsdd::GaussianSplat: the node says dtype %" PRId32
                 " and the graph gives its output type %d: "
                 "they must be equal",
                 attributes.dtype, static_cast<int>(images.type));
  }
  params.gaussians = gaussians.data;
  params.batch = gaussians.dims[0];
  params.count = gaussians.dims[1];
  params.height = attributes.height;
  params.width = attributes.width;
  params.native_height = attributes.native_height;
  params.native_width = attributes.native_width;
  params.supersample = attributes.supersample;
  params.images = images.data;
  return kernel.launcher.forward(kernel.call(context), params, images.device);
}

OrtStatus* compute_gradient(void* data, OrtKernelContext* context) {
  Kernel& kernel = *static_cast<Kernel*>(data);
  const OrtApi& api = kernel.api;
  const char* name = "GaussianSplatGrad";
  Tensor grad_images, gaussians, grad_gaussians;
  GSDD_RETURN_IF_ERROR(input(api, context, 0, &grad_images));
  GSDD_RETURN_IF_ERROR(input(api, context, 1, &gaussians));
  SplatGradParams params;
  GSDD_RETURN_IF_ERROR(check_gaussians(api, name, gaussians, &params.channels, &params.gaussian_dtype));
  if (grad_images.rank != 4 || grad_images.dims[0] != gaussians.dims[0] || grad_images.dims[1] != params.channels) {
    return error(api, ORT_INVALID_ARGUMENT,
                 "gsdd::%s: grad_images must be [batch, channels, height, width] with the batch and the channels of "
                 "gaussians",
                 name);
  }
  for (int axis = 2; axis < 4; ++axis) {
    if (grad_images.dims[axis] >= 1 && grad_images.dims[axis] <= kMaxSide) continue;
    return error(api, ORT_INVALID_ARGUMENT, "gsdd::%s: a side of grad_images must be 1 to %d, got %" PRId64, name,
                 kMaxSide, grad_images.dims[axis]);
  }
  GSDD_RETURN_IF_ERROR(output(api, context, 0, gaussians.dims, 3, &grad_gaussians));
  params.gaussians = gaussians.data;
  params.batch = gaussians.dims[0];
  params.count = gaussians.dims[1];
  params.height = static_cast<int32_t>(grad_images.dims[2]);
  params.width = static_cast<int32_t>(grad_images.dims[3]);
  params.native_height = kernel.attributes.native_height;
  params.native_width = kernel.attributes.native_width;
  params.supersample = kernel.attributes.supersample;
  params.grad_images = static_cast<const float*>(grad_images.data);
  params.grad_gaussians = static_cast<float*>(grad_gaussians.data);
  return kernel.launcher.backward(kernel.call(context), params, grad_gaussians.device);
}

OrtStatus* create(const OrtCustomOp* op, const OrtKernelInfo* info,
                  OrtStatus* (*read)(const OrtApi&, const OrtKernelInfo*, Attributes*), void** out) {
  const OrtApi& api = *self(op).api;
  Attributes attributes;
  GSDD_RETURN_IF_ERROR(read(api, info, &attributes));
  *out = new (std::nothrow) Kernel{api, *self(op).launcher, attributes};
  return *out != nullptr ? nullptr : error(api, ORT_FAIL, "gsdd: out of memory");
}

OrtStatus* set_shape(const OrtApi& api, OrtShapeInferContext* context, const int64_t* dims, const char** names,
                     size_t rank, ONNXTensorElementDataType type) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  GSDD_RETURN_IF_ERROR(api.CreateTensorTypeAndShapeInfo(&info));
  OrtStatus* status = api.SetTensorElementType(info, type);
  if (status == nullptr) status = api.SetDimensions(info, dims, rank);
  if (status == nullptr) status = api.SetSymbolicDimensions(info, names, rank);
  if (status == nullptr) status = api.ShapeInferContext_SetOutputTypeShape(context, 0, info);
  api.ReleaseTensorTypeAndShapeInfo(info);
  return status;
}

// Rank, dimensions (kUnknown where they are) and names ("" where there are none) of one input.
OrtStatus* input_shape(const OrtApi& api, const OrtShapeInferContext* context, size_t index, Tensor* tensor,
                       const char** names) {
  OrtTensorTypeAndShapeInfo* info = nullptr;  // stays theirs
  GSDD_RETURN_IF_ERROR(api.ShapeInferContext_GetInputTypeShape(context, index, &info));
  GSDD_RETURN_IF_ERROR(api.GetDimensionsCount(info, &tensor->rank));
  if (tensor->rank > Tensor::kMaxRank) return nullptr;
  GSDD_RETURN_IF_ERROR(api.GetDimensions(info, tensor->dims, tensor->rank));
  return api.GetSymbolicDimensions(info, names, tensor->rank);
}

// An input of unknown rank says rank 0, and what is out of range is refused with a message when the kernel is made or
// run: neither infers anything here.
OrtStatus* infer_splat(const OrtCustomOp* op, OrtShapeInferContext* context) {
  const OrtApi& api = *self(op).api;
  Tensor gaussians;
  const char* names[Tensor::kMaxRank] = {};
  GSDD_RETURN_IF_ERROR(input_shape(api, context, 0, &gaussians, names));
  int64_t height = 0, width = 0, code = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  infer_attribute(api, context, "height", &height);
  infer_attribute(api, context, "width", &width);
  infer_attribute(api, context, "dtype", &code);
  // Asked before the conversion: an enumeration holds no other numbers than those near its own.
  const bool known_type = code >= 1 && code <= ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
  const auto type = known_type ? static_cast<ONNXTensorElementDataType>(code) : ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  DType dtype;
  if (gaussians.rank != 3 || height < 1 || height > kMaxSide || width < 1 || width > kMaxSide ||
      !kernel_type(type, &dtype)) {
    return nullptr;
  }
  const bool known = gaussians.dims[2] > kShapeParameters;
  const int64_t dims[] = {gaussians.dims[0], known ? gaussians.dims[2] - kShapeParameters : kUnknown, height, width};
  const char* image_names[] = {names[0] != nullptr ? names[0] : "", "", "", ""};
  return set_shape(api, context, dims, image_names, 4, type);
}

OrtStatus* infer_gradient(const OrtCustomOp* op, OrtShapeInferContext* context) {
  const OrtApi& api = *self(op).api;
  Tensor gaussians;
  const char* names[Tensor::kMaxRank] = {};
  GSDD_RETURN_IF_ERROR(input_shape(api, context, 1, &gaussians, names));
  if (gaussians.rank != 3) return nullptr;
  return set_shape(api, context, gaussians.dims, names, 3, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
}

void make(Operator* op, const OrtApi& api, const Launcher& launcher, ONNXTensorElementDataType gaussian_type) {
  op->version = kApiVersion;
  op->api = &api;
  op->launcher = &launcher;
  op->gaussian_type = gaussian_type;
  op->GetExecutionProviderType = [](const OrtCustomOp* op) { return self(op).launcher->provider; };
  op->GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  op->GetInputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op->GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op->GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  op->GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
  op->GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 1; };
  op->GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  op->GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  op->KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  op->GetStartVersion = [](const OrtCustomOp*) { return 1; };
  op->GetEndVersion = [](const OrtCustomOp*) { return INT32_MAX; };
}

}  // namespace

void make_splat(Operator* op, const OrtApi& api, const Launcher& launcher, ONNXTensorElementDataType gaussian_type) {
  make(op, api, launcher, gaussian_type);
  op->GetName = [](const OrtCustomOp*) { return "GaussianSplat"; };
  op->GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  op->GetInputType = [](const OrtCustomOp* op, size_t) { return self(op).gaussian_type; };
  // Older versions derive the type of an output from those of the inputs alone, never from an attribute. Of a type that
  // is left open they take what the graph declares, newer ones what infer_splat says; only an output that may be left
  // out can be open.
  op->GetOutputType = [](const OrtCustomOp*, size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED; };
  op->GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_OPTIONAL; };
  op->CreateKernelV2 = [](const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
    return create(op, info, read_splat_attributes, kernel);
  };
  op->KernelComputeV2 = compute_splat;
  op->InferOutputShapeFn = infer_splat;
}

void make_splat_gradient(Operator* op, const OrtApi& api, const Launcher& launcher,
                         ONNXTensorElementDataType gaussian_type) {
  make(op, api, launcher, gaussian_type);
  op->GetName = [](const OrtCustomOp*) { return "GaussianSplatGrad"; };
  op->GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return 2; };
  op->GetInputType = [](const OrtCustomOp* op, size_t index) {
    return index == 0 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : self(op).gaussian_type;
  };
  op->GetOutputType = [](const OrtCustomOp*, size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; };
  op->CreateKernelV2 = [](const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
    return create(op, info, read_gradient_attributes, kernel);
  };
  op->KernelComputeV2 = compute_gradient;
  op->InferOutputShapeFn = infer_gradient;
}

}  // namespace gsdd::ort
