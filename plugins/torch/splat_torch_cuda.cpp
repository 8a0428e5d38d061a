// The CUDA side of the torch door: the same ops on the tensors' device and its current stream.
//
// The library must load where torch has no CUDA, so nothing of libtorch_cuda is linked: the one call that is needed
// from it is looked up when the first CUDA tensor arrives.
#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>

#include <string>

#include "../splat/cuda/splat_cuda.h"
#include "door.h"

namespace {

using namespace gsdd::torch_door;

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

void* current_stream(int32_t device) {
  static const GetCurrentStream get = find_current_stream();
  STD_TORCH_CHECK(get != nullptr, "gsdd::splat: this torch has no CUDA; install a CUDA build of torch");
  void* stream = nullptr;
  STD_TORCH_CHECK(get(device, &stream) == AOTI_TORCH_SUCCESS, "gsdd::splat: torch gives no stream for CUDA device ",
                  device);
  return stream;
}

// The tensor's device, current in torch's CUDA runtime and in the one that the kernels are linked with. Both see a
// thread's current context, so putting torch's device back, as the guard does, puts back the other too.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(const Tensor& gaussians) : device_(checked_index(gaussians)), guard_(device_) {
    int previous = 0;
    const int error = gsdd::cuda::use_device(device_, &previous);
    STD_TORCH_CHECK(error == 0, "gsdd::splat: CUDA device ", device_, ": ", gsdd::cuda::error_text(error));
  }

  void* stream() const { return current_stream(device_); }

 private:
  static int32_t checked_index(const Tensor& gaussians) {
    STD_TORCH_CHECK(gaussians.is_cuda(), "gsdd::splat: gaussians must be on the CUDA device, like the other tensors");
    return gaussians.get_device_index();
  }

  int32_t device_;
  torch::stable::accelerator::DeviceGuard guard_;
};

void raise_unless_launched(gsdd::Status status, int cuda_error) {
  STD_TORCH_CHECK(status != gsdd::Status::kLaunchFailed,
                  "gsdd::splat: CUDA refused the launch: ", gsdd::cuda::error_text(cuda_error), " (compiled for ",
                  gsdd::cuda::architectures(), ")");
  raise_unless_ok(status);
}

Tensor splat(const Tensor& gaussians, int64_t height, int64_t width, int64_t native_height, int64_t native_width,
             int64_t supersample, std::optional<Tensor> mean, std::optional<Tensor> inverse_std,
             std::optional<ScalarType> dtype, bool channels_last) {
  const OnDeviceOf device(gaussians);
  return render(gaussians,
                {height, width, native_height, native_width, supersample, mean, inverse_std, dtype, channels_last},
                [&](const gsdd::SplatParams& params) {
                  int cuda_error = 0;
                  raise_unless_launched(gsdd::splat_cuda(params, device.stream(), &cuda_error), cuda_error);
                });
}

// A contiguous int32 vector on the Gaussians' device.
Tensor index_numbers(const Tensor& tensor, const Tensor& gaussians, const char* name) {
  check_device(tensor, gaussians, name);
  STD_TORCH_CHECK(tensor.scalar_type() == ScalarType::Int, "gsdd::splat_tiles: ", name, " must be int32");
  return torch::stable::contiguous(tensor);
}

Tensor splat_tiles(const Tensor& gaussians, const Tensor& tile_offsets, const Tensor& ids, int64_t height,
                   int64_t width, int64_t native_height, int64_t native_width, int64_t supersample,
                   std::optional<Tensor> mean, std::optional<Tensor> inverse_std, std::optional<ScalarType> dtype,
                   bool channels_last) {
  const OnDeviceOf device(gaussians);
  const Tensor offsets = index_numbers(tile_offsets, gaussians, "tile_offsets");
  const Tensor list = index_numbers(ids, gaussians, "ids");
  return render(
      gaussians, {height, width, native_height, native_width, supersample, mean, inverse_std, dtype, channels_last},
      [&](const gsdd::SplatParams& params) {
        constexpr int64_t side = gsdd::kSplatTileSide;
        const int64_t tiles = params.batch * ((params.height + side - 1) / side) * ((params.width + side - 1) / side);
        STD_TORCH_CHECK(offsets.numel() == tiles, "gsdd::splat_tiles: tile_offsets must have ", tiles,
                        " numbers, one a tile of ", side, " x ", side, " pixels, got ", offsets.numel());
        const gsdd::SplatTiles lists = {static_cast<const int32_t*>(offsets.const_data_ptr()),
                                        static_cast<const int32_t*>(list.const_data_ptr()), list.numel()};
        int cuda_error = 0;
        raise_unless_launched(gsdd::splat_tiles_cuda(params, lists, device.stream(), &cuda_error), cuda_error);
      });
}

Tensor splat_backward(const Tensor& grad_images, const Tensor& gaussians, int64_t native_height, int64_t native_width,
                      int64_t supersample, std::optional<Tensor> scale) {
  const OnDeviceOf device(gaussians);
  return gather<true>(grad_images, gaussians, {native_height, native_width, supersample, scale},
                      [&](const gsdd::SplatGradParams& params) {
                        int cuda_error = 0;
                        raise_unless_launched(gsdd::splat_backward_cuda(params, device.stream(), &cuda_error),
                                              cuda_error);
                      });
}

std::string cuda_architectures() { return gsdd::cuda::architectures(); }

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(gsdd, CompositeExplicitAutograd, m) {
  m.impl("cuda_architectures", TORCH_BOX(&cuda_architectures));
}

STABLE_TORCH_LIBRARY_IMPL(gsdd, CUDA, m) {
  m.impl("splat", TORCH_BOX(&splat));
  m.impl("splat_tiles", TORCH_BOX(&splat_tiles));
  m.impl("splat_backward", TORCH_BOX(&splat_backward));
}
