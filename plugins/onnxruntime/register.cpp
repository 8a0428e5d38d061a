// The entry that SessionOptions::register_custom_ops_library looks for.
#include <cstdio>
#include <iterator>
#include <mutex>

#include "ops.h"

#if defined(_WIN32)
#define GSDD_EXPORT __declspec(dllexport)
#else
#define GSDD_EXPORT __attribute__((visibility("default")))
#endif

namespace gsdd::ort {
namespace {

constexpr ONNXTensorElementDataType kGaussianTypes[] = {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16};

const Launcher* const kLaunchers[] = {
    &kCpuLauncher,
#if defined(GSDD_WITH_CUDA)
    &kCudaLauncher,
#endif
};

// Sessions refer to these for as long as they live, and the library cannot know how long that is.
Operator operators[2 * std::size(kGaussianTypes) * std::size(kLaunchers)] = {};
OrtCustomOpDomain* domain = nullptr;

OrtStatus* make_domain() {
  OrtCustomOpDomain* made = nullptr;
  GSDD_RETURN_IF_ERROR(api().CreateCustomOpDomain(kDomain, &made));
  Operator* next = operators;
  for (const Launcher* launcher : kLaunchers) {
    for (ONNXTensorElementDataType type : kGaussianTypes) {
      make_splat(next++, *launcher, type);
      make_splat_gradient(next++, *launcher, type);
    }
  }
  for (Operator& op : operators) {
    if (OrtStatus* status = api().CustomOpDomain_Add(made, &op)) {
      api().ReleaseCustomOpDomain(made);
      return status;
    }
  }
  domain = made;
  return nullptr;
}

}  // namespace
}  // namespace gsdd::ort

extern "C" GSDD_EXPORT OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace gsdd::ort;
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  const OrtApi* table = base->GetApi(kApiVersion);
  if (table == nullptr) {
    char text[160];
    std::snprintf(text, sizeof(text), "gsdd: this library needs onnxruntime 1.%u or newer, this one is %s", kApiVersion,
                  base->GetVersionString());
    // Every version has the first table, and with it the status to refuse with.
    const OrtApi* first = base->GetApi(1);
    return first != nullptr ? first->CreateStatus(ORT_NOT_IMPLEMENTED, text) : nullptr;
  }
  set_api(table);
  if (domain == nullptr) GSDD_RETURN_IF_ERROR(make_domain());
  return api().AddCustomOpDomain(options, domain);
}
