// The launchers for NVIDIA GPUs. No CUDA header is needed to call them.
#pragma once

#include "../splat.h"

namespace gsdd {

// Launches on the current device and `stream` (a cudaStream_t; null is the default stream): one kernel, no
// synchronisation, no allocation, nothing that a CUDA graph cannot capture. All pointers of the parameters, `mean` and
// `inverse_std` included, are addresses on that device. kLaunchFailed puts the cudaError_t in *cuda_error, which is 0
// otherwise; it may be null.
Status splat_cuda(const SplatParams& params, void* stream, int* cuda_error);
Status splat_backward_cuda(const SplatGradParams& params, void* stream, int* cuda_error);

// The Gaussians that each tile of 32 x 32 pixels is to be drawn from, on the device. Tiles are counted rows first and
// over the batch, tile t's Gaussians are ids[offsets[t]] .. ids[offsets[t + 1] - 1], and the last tile's end at
// id_count. Ids count over the batch: image * count + Gaussian. A Gaussian in a list need not touch its tile; one that
// touches a tile and is not in its list is missing from the image.
struct SplatTiles {
  const int32_t* offsets = nullptr;  // [batch * tiles_y * tiles_x]
  const int32_t* ids = nullptr;      // [id_count]
  int64_t id_count = 0;
};

inline constexpr int kSplatTileSide = 32;

Status splat_tiles_cuda(const SplatParams& params, const SplatTiles& tiles, void* stream, int* cuda_error);

namespace cuda {

// The words of the runtime for a cudaError_t; never null.
const char* error_text(int cuda_error);

// Makes `device` current for the calling thread in the CUDA runtime that this library is linked with, which need not
// be its host's, and writes the one before to *previous. The cudaError_t, 0 if it went well.
int use_device(int device, int* previous);

// What the kernels were compiled for, in CMake's words: "80-real 90-real 120-virtual"; -virtual is PTX, which the
// driver compiles for newer GPUs.
const char* architectures();

}  // namespace cuda
}  // namespace gsdd
