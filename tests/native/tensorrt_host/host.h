// What the two halves of the host share: the loaded library, a logger that remembers, and plugins by attributes.
#pragma once

#include <NvInferRuntime.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace host {

class Logger final : public nvinfer1::ILogger {
 public:
  void log(Severity, const char* message) noexcept override { messages.emplace_back(message); }
  std::vector<std::string> messages;
};

class LoggerFinder final : public nvinfer1::ILoggerFinder {
 public:
  nvinfer1::ILogger* findLogger() override { return &logger; }
  Logger logger;
};

struct Library {
  void (*set_logger_finder)(void*);
  std::map<std::string, nvinfer1::IPluginCreatorV3One*> creators;
};

// Loads the library and gives it the logger; ends the process where it cannot.
Library load(const char* path, LoggerFinder* finder);

using Attributes = std::vector<std::pair<std::string, int32_t>>;
using PluginPointer = std::unique_ptr<nvinfer1::IPluginV3>;

PluginPointer create(nvinfer1::IPluginCreatorV3One& creator, const Attributes& attributes,
                     nvinfer1::TensorRTPhase phase = nvinfer1::TensorRTPhase::kBUILD);

template <typename Capability>
Capability& capability(nvinfer1::IPluginV3& plugin, nvinfer1::PluginCapabilityType type) {
  return *static_cast<Capability*>(plugin.getCapabilityInterface(type));
}

inline nvinfer1::IPluginV3OneCore& core(nvinfer1::IPluginV3& plugin) {
  return capability<nvinfer1::IPluginV3OneCore>(plugin, nvinfer1::PluginCapabilityType::kCORE);
}
inline nvinfer1::IPluginV3OneBuild& build(nvinfer1::IPluginV3& plugin) {
  return capability<nvinfer1::IPluginV3OneBuild>(plugin, nvinfer1::PluginCapabilityType::kBUILD);
}
inline nvinfer1::IPluginV3OneRuntime& runtime(nvinfer1::IPluginV3& plugin) {
  return capability<nvinfer1::IPluginV3OneRuntime>(plugin, nvinfer1::PluginCapabilityType::kRUNTIME);
}

inline nvinfer1::PluginTensorDesc tensor(std::initializer_list<int64_t> dims, nvinfer1::DataType type,
                                         nvinfer1::TensorFormat format = nvinfer1::TensorFormat::kLINEAR) {
  nvinfer1::PluginTensorDesc desc{};
  for (const int64_t dim : dims) desc.dims.d[desc.dims.nbDims++] = dim;
  desc.type = type;
  desc.format = format;
  return desc;
}

int check_interfaces(Library& library, LoggerFinder& finder);
int run_requests(Library& library, LoggerFinder& finder, const char* requests);

}  // namespace host
