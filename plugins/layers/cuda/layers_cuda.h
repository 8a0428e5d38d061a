// The launchers of steps of networks for NVIDIA GPUs. No CUDA header is needed to call them.
#pragma once

#include "../layers.h"

namespace gsdd {

// As plugins/layers/layers.h has them, of maps in planes: x is [batch, channels, height, width], and so is what is made
// of it. On the current device and `stream` (a cudaStream_t): one kernel, no synchronisation, no allocation. The
// cudaError_t of kLaunchFailed is put into *cuda_error.
Status norm_relu_pool_cuda(const layers::NormReluPool& params, void* stream, int* cuda_error);
Status norm_relu_pool_backward_cuda(const layers::NormReluPoolGrad& params, void* stream, int* cuda_error);

}  // namespace gsdd
