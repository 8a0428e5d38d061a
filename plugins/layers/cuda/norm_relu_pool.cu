// The entry points of norm, ReLU and pool.
#include "launch.h"
#include "layers_cuda.h"
#include "norm_relu_pool.h"

namespace gsdd {
namespace cuda {
namespace {

constexpr int kThreads = planes::kPlanesOfABlock * planes::kLanes;

__global__ void __launch_bounds__(kThreads) norm_relu_pool(const __grid_constant__ layers::NormReluPool p) {
  planes::norm_relu_pool_plane(p);
}

__global__ void __launch_bounds__(kThreads) norm_relu_pool_grad(const __grid_constant__ layers::NormReluPoolGrad p) {
  planes::norm_relu_pool_plane_grad(p);
}

template <typename Params>
Status over_planes(void (*kernel)(Params), const Params& params, void* stream, int* cuda_error) {
  tell(cuda_error, cudaSuccess);
  if (planes::too_large(params)) return Status::kTooLarge;
  if (params.batch == 0 || params.channels == 0) return Status::kOk;
  Params args = params;
  return start(kernel, Launch{planes::blocks_for(params), kThreads, 0}, &args, stream, cuda_error);
}

}  // namespace
}  // namespace cuda

Status norm_relu_pool_cuda(const layers::NormReluPool& params, void* stream, int* cuda_error) {
  return cuda::over_planes(cuda::norm_relu_pool, params, stream, cuda_error);
}

Status norm_relu_pool_backward_cuda(const layers::NormReluPoolGrad& params, void* stream, int* cuda_error) {
  return cuda::over_planes(cuda::norm_relu_pool_grad, params, stream, cuda_error);
}

}  // namespace gsdd
