// What a launch of the forward kernel is told.
#pragma once

#include "prepare.h"

namespace gsdd::cuda {

inline constexpr int kPatchWidth = 16, kPatchHeight = 8;
inline constexpr int kMaxChunk = 256;
inline constexpr int kMaxForwardThreads = 256;

struct ForwardArgs {
  Source source;
  int64_t gaussians;  // in the batch
  int32_t count;      // per image
  int32_t height, width, supersample;
  int64_t blocks;
  int32_t tiles_x, tiles;      // per image
  int32_t patches_x, patches;  // per tile; a warp each
  int32_t chunk;               // Gaussians prepared at once
  float smooth_deviation;      // square root of the prefilter's variance plus that of the samples in a pixel
  float samples;               // supersample squared
  // Tile lists, or null: Gaussian ids of tile t are ids[offsets[t]] .. ids[offsets[t + 1] - 1], the last tile's end
  // at `id_count`; t counts over the batch.
  const int32_t* offsets;
  const int32_t* ids;
  int32_t id_count;
  void* images;
  DType image_dtype;
  bool channels_last;
  bool wide_stores;  // four pixels of a row are always inside the image together, and aligned
  const float* mean;
  const float* inverse_std;
};

}  // namespace gsdd::cuda
