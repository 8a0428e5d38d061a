#include "plugin.h"

#include <cinttypes>
#include <cstdio>

#include "log.h"
#include "splat_cuda.h"

namespace gsdd::tensorrt {

using nvinfer1::PluginCapabilityType;

Plugin::Plugin(const char* name, std::span<const AttributeRule> rules, const Attributes& attributes)
    : name_(name), attributes_(attributes) {
  table_.fill(rules, &attributes_);
  std::snprintf(identity_, sizeof identity_,
                "%" PRId32 "x%" PRId32 "_native%" PRId32 "x%" PRId32 "_samples%" PRId32 "_dtype%" PRId32,
                attributes_.height, attributes_.width, attributes_.native_height, attributes_.native_width,
                attributes_.supersample, attributes_.dtype);
}

nvinfer1::IPluginCapability* Plugin::getCapabilityInterface(PluginCapabilityType type) noexcept {
  switch (type) {
    case PluginCapabilityType::kCORE:
      return static_cast<nvinfer1::IPluginV3OneCore*>(this);
    case PluginCapabilityType::kBUILD:
      return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
    case PluginCapabilityType::kRUNTIME:
      return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
  }
  log_error(name_, "no capability of type %" PRId32, static_cast<int32_t>(type));
  return nullptr;
}

bool Plugin::check_counts(int32_t inputs, int32_t expected_inputs, int32_t outputs) const {
  if (inputs == expected_inputs && outputs == 1) return true;
  log_error(name_, "takes %" PRId32 " input(s) and gives 1 output, not %" PRId32 " and %" PRId32, expected_inputs,
            inputs, outputs);
  return false;
}

bool Plugin::check_channels(int64_t numbers) const {
  if (numbers > kShapeParameters && numbers <= kShapeParameters + kMaxChannels) return true;
  log_error(name_, "the last dimension of gaussians must be 6 + channels with 1 to %d channels, not %" PRId64,
            kMaxChannels, numbers);
  return false;
}

bool Plugin::check_gaussians(const nvinfer1::Dims& gaussians) const {
  if (gaussians.nbDims != 3) {
    log_error(name_, "gaussians must be [batch, count, 6 + channels], not of %" PRId32 " dimensions", gaussians.nbDims);
    return false;
  }
  return gaussians.d[2] == -1 || check_channels(gaussians.d[2]);
}

bool Plugin::report(Status status, int cuda_error) const {
  if (status == Status::kOk) return true;
  if (status == Status::kLaunchFailed) {
    log_error(name_, "%s: %s", message(status), cuda::error_text(cuda_error));
  } else {
    log_error(name_, "%s", message(status));
  }
  return false;
}

}  // namespace gsdd::tensorrt
