// The creators, and the two functions by which TensorRT 10, TensorRT 11 and TensorRT-RTX take a plugin library.
//
// Nothing here is linked to a TensorRT library: one file serves them all.
#include "log.h"
#include "plugin.h"

#define GSDD_EXPORT extern "C" __attribute__((visibility("default")))

namespace gsdd::tensorrt {
namespace {

using NewPlugin = nvinfer1::IPluginV3* (*)(const Attributes&);

class Creator final : public nvinfer1::IPluginCreatorV3One {
 public:
  Creator(const char* name, std::span<const AttributeRule> rules, NewPlugin new_plugin)
      : name_(name), rules_(rules), new_plugin_(new_plugin) {
    table_.fill(rules, nullptr);
  }

  const char* getPluginName() const noexcept override { return name_; }
  const char* getPluginVersion() const noexcept override { return kVersion; }
  const char* getPluginNamespace() const noexcept override { return kNamespace; }
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &table_.collection; }

  // A plan hands back the fields that getFieldsToSerialize gave, so that both phases read the same.
  nvinfer1::IPluginV3* createPlugin(const char*, const nvinfer1::PluginFieldCollection* fields,
                                    nvinfer1::TensorRTPhase) noexcept override {
    Attributes attributes;
    if (!read_attributes(name_, rules_, fields, &attributes)) return nullptr;
    nvinfer1::IPluginV3* const plugin = new_plugin_(attributes);
    if (plugin == nullptr) log_error(name_, "out of memory");
    return plugin;
  }

 private:
  const char* const name_;
  const std::span<const AttributeRule> rules_;
  const NewPlugin new_plugin_;
  FieldTable table_;
};

}  // namespace
}  // namespace gsdd::tensorrt

// Its parameter is an ILoggerFinder, of which there are two forms: see log.cpp.
GSDD_EXPORT void setLoggerFinder(void* finder) { gsdd::tensorrt::set_logger_finder(finder); }

GSDD_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  using namespace gsdd::tensorrt;
  static Creator splat{kSplatName, splat_rules(), new_splat_plugin};
  static Creator splat_grad{kSplatGradName, splat_grad_rules(), new_splat_grad_plugin};
  static nvinfer1::IPluginCreatorInterface* const creators[] = {&splat, &splat_grad};
  count = 2;
  return creators;
}
