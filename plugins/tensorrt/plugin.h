// What both plugins share: identity, attributes, serialisation, and the checks of shapes and formats.
#pragma once

#include <NvInferRuntime.h>

#include "attributes.h"

namespace gsdd::tensorrt {

inline constexpr const char* kNamespace = "gsdd";
inline constexpr const char* kVersion = "1";
inline constexpr const char* kSplatName = "GaussianSplat";
inline constexpr const char* kSplatGradName = "GaussianSplatGrad";

// Nonzero for TensorRT, which then ends the build or the enqueue and reports the logged message.
inline constexpr int32_t kFailed = -1;

// IPluginV3 with all three capabilities. A derived class adds shapes, formats and the launch.
class Plugin : public nvinfer1::IPluginV3,
               public nvinfer1::IPluginV3OneCore,
               public nvinfer1::IPluginV3OneBuild,
               public nvinfer1::IPluginV3OneRuntime {
 public:
  Plugin(const char* name, std::span<const AttributeRule> rules, const Attributes& attributes);

  nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override;

  const char* getPluginName() const noexcept override { return name_; }
  const char* getPluginVersion() const noexcept override { return kVersion; }
  const char* getPluginNamespace() const noexcept override { return kNamespace; }

  int32_t getNbOutputs() const noexcept override { return 1; }
  size_t getWorkspaceSize(const nvinfer1::DynamicPluginTensorDesc*, int32_t, const nvinfer1::DynamicPluginTensorDesc*,
                          int32_t) const noexcept override {
    return 0;
  }
  // The attributes are all that the time of a launch depends on, beside shapes and formats.
  const char* getTimingCacheID() noexcept override { return identity_; }
  const char* getMetadataString() noexcept override { return identity_; }

  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override { return clone(); }
  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override { return &table_.collection; }

 protected:
  const Attributes& attributes() const { return attributes_; }

  bool check_counts(int32_t inputs, int32_t expected_inputs, int32_t outputs) const;
  // gaussians: [batch, count, 6 + channels]; dimensions of -1 are not known yet.
  bool check_gaussians(const nvinfer1::Dims& gaussians) const;
  bool check_channels(int64_t numbers) const;
  bool report(Status status, int cuda_error) const;

 private:
  const char* const name_;
  const Attributes attributes_;
  FieldTable table_;
  char identity_[96];
};

nvinfer1::IPluginV3* new_splat_plugin(const Attributes& attributes);
nvinfer1::IPluginV3* new_splat_grad_plugin(const Attributes& attributes);

}  // namespace gsdd::tensorrt
