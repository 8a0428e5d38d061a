// The entry that SessionOptions::register_custom_ops_library looks for.
#include <cstdio>
#include <iterator>
#include <mutex>
#include <new>

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

// The operators of one onnxruntime. Its sessions refer to them for as long as they live, and the library cannot know
// how long that is: they stay.
struct Registration {
  const OrtApi* api = nullptr;
  OrtCustomOpDomain* domain = nullptr;
  Operator operators[2 * std::size(kGaussianTypes) * std::size(kLaunchers)] = {};
  Registration* next = nullptr;
};

// One for each onnxruntime of the process, by its table of functions.
Registration* registrations = nullptr;

OrtStatus* make_domain(const OrtApi& api, Registration* made) {
  made->api = &api;
  GSDD_RETURN_IF_ERROR(api.CreateCustomOpDomain(kDomain, &made->domain));
  Operator* next = made->operators;
  for (const Launcher* launcher : kLaunchers) {
    for (ONNXTensorElementDataType type : kGaussianTypes) {
      make_splat(next++, api, *launcher, type);
      make_splat_gradient(next++, api, *launcher, type);
    }
  }
  for (Operator& op : made->operators) {
    if (OrtStatus* status = api.CustomOpDomain_Add(made->domain, &op)) {
      api.ReleaseCustomOpDomain(made->domain);
      return status;
    }
  }
  return nullptr;
}

OrtStatus* find_or_make(const OrtApi& api, const Registration** found) {
  for (const Registration* known = registrations; known != nullptr; known = known->next) {
    if (known->api != &api) continue;
    *found = known;
    return nullptr;
  }
  auto* made = new (std::nothrow) Registration;
  if (made == nullptr) return error(api, ORT_FAIL, "gsdd: out of memory");
  if (OrtStatus* status = make_domain(api, made)) {
    delete made;
    return status;
  }
  made->next = registrations;
  *found = registrations = made;
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
  const Registration* found = nullptr;
  GSDD_RETURN_IF_ERROR(find_or_make(*table, &found));
  // Without memory even for the status that says so.
  if (found == nullptr) return nullptr;
  return table->AddCustomOpDomain(options, found->domain);
}
