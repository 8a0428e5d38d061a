// The library must load where torch has no CUDA, so nothing of libtorch_cuda is linked: the one call that is needed
// from it is looked up when the first CUDA tensor arrives.
#include "on_device.h"

#include <dlfcn.h>

namespace gsdd::torch_door {
namespace {

using GetCurrentStream = AOTITorchError (*)(int32_t device_index, void** stream);

GetCurrentStream find_current_stream() {
  constexpr const char* kName = "aoti_torch_get_current_cuda_stream";
  void* found = dlsym(RTLD_DEFAULT, kName);
  if (found == nullptr) {
    // Python loads torch without making its symbols global; this finds the library that is already there.
    if (void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD)) found = dlsym(library, kName);
  }
  return reinterpret_cast<GetCurrentStream>(found);
}

}  // namespace

void* current_stream(int32_t device) {
  static const GetCurrentStream get = find_current_stream();
  STD_TORCH_CHECK(get != nullptr, "gsdd::splat: this torch has no CUDA; install a CUDA build of torch");
  void* stream = nullptr;
  STD_TORCH_CHECK(get(device, &stream) == AOTI_TORCH_SUCCESS, "gsdd::splat: torch gives no stream for CUDA device ",
                  device);
  return stream;
}

}  // namespace gsdd::torch_door
