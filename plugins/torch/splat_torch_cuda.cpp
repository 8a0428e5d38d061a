// The CUDA side of the torch door: the same ops on the tensors' device and its current stream.
#include <torch/csrc/stable/library.h>

#include <string>

#include "../splat/cuda/splat_cuda.h"
#include "door.h"
#include "on_device.h"

namespace {

using namespace gsdd::torch_door;

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
