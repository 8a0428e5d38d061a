// The GPU backend: one launch for a batch on the pipeline's stream, never synchronised.
#include <stdexcept>
#include <string>

#include "../splat/cuda/splat_cuda.h"
#include "arguments.h"

namespace gsdd::dali_door {
namespace {

[[noreturn]] void refuse(int device, int error) {
  throw std::runtime_error("gsdd.gaussian_splat: CUDA device " + std::to_string(device) + ": " +
                           cuda::error_text(error) + " (compiled for " + cuda::architectures() + ")");
}

// The pipeline's device, current in this library's CUDA runtime, which need not be DALI's; put back at the end.
class OnDevice {
 public:
  explicit OnDevice(int device) : device_(device) {
    if (const int error = cuda::use_device(device, &previous_)) refuse(device, error);
  }
  ~OnDevice() {
    int ignored = 0;
    if (previous_ != device_) cuda::use_device(previous_, &ignored);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int device_, previous_ = 0;
};

class SplatGpu : public Splat<dali::GPUBackend> {
 public:
  explicit SplatGpu(const dali::OpSpec& spec)
      : Splat<dali::GPUBackend>(spec), device_(spec.GetArgument<int>("device_id")) {}

 protected:
  void RunImpl(dali::Workspace& workspace) override {
    const std::vector<Part> parts = prepared(workspace);
    const OnDevice current(device_);
    for (const Part& part : parts) {
      int error = 0;
      const Status status = splat_cuda(part.params, workspace.stream(), &error);
      if (status == Status::kLaunchFailed) refuse(device_, error);
      raise_unless_ok(status);
    }
  }

 private:
  int device_;
};

}  // namespace
}  // namespace gsdd::dali_door

namespace dali {

DALI_REGISTER_OPERATOR(gsdd__GaussianSplat, ::gsdd::dali_door::SplatGpu, GPU);

}  // namespace dali
