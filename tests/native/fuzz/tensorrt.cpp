// The TensorRT plugins made from any fields, as a network or a serialised plan gives them, and asked about any shapes
// and formats: they are refused with a message, or run. What one serialises makes it again.
#include <NvInferRuntime.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "bytes.h"
#include "splat.h"

extern "C" void setLoggerFinder(void* finder);
extern "C" nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count);

namespace {

using namespace nvinfer1;

constexpr int64_t kMost = 1 << 12;

class Logger final : public ILogger {
 public:
  void log(Severity, const char* message) noexcept override { said += message != nullptr && *message != 0; }
  int said = 0;
};

class Finder final : public ILoggerFinder {
 public:
  ILogger* findLogger() override { return &logger; }
  Logger logger;
};

void check(bool holds) {
  if (!holds) std::abort();
}

// Fields with names, types, lengths and data of any kind; data is as long as type and length say.
struct Fields {
  explicit Fields(fuzz::Bytes& bytes) {
    static constexpr const char* kNames[] = {"height",       "width",       "native_height",
                                             "native_width", "supersample", "dtype"};
    const int count = bytes.below(4) ? 6 : bytes.below(10);
    for (int k = 0; k < count; ++k) {
      const int which = bytes.below(16) ? k % 6 : bytes.below(8);
      names.push_back(which < 6 ? kNames[which] : bytes.coin() ? "an odd name" : "");
      const bool integer = bytes.below(16) != 0, wide = bytes.coin();
      const auto type = integer ? (wide ? PluginFieldType::kINT64 : PluginFieldType::kINT32)
                                : static_cast<PluginFieldType>(bytes.below(12));
      const int32_t length = bytes.below(16) ? 1 : static_cast<int32_t>(bytes.number());
      const int64_t value = which == 5       ? (bytes.coin() ? 1 : 10)
                            : bytes.below(8) ? 1 + bytes.below(12)
                                             : bytes.number();
      std::vector<uint8_t> content(type == PluginFieldType::kINT64 ? 8 : 4);
      std::memcpy(content.data(), &value, content.size());
      data.push_back(std::move(content));
      fields.emplace_back(bytes.below(32) ? names.back().c_str() : nullptr,
                          bytes.below(32) ? data.back().data() : nullptr, type, length);
    }
    // Names move as the vector grows.
    for (size_t k = 0; k < fields.size(); ++k) {
      if (fields[k].name != nullptr) fields[k].name = names[k].c_str();
    }
    collection.nbFields = bytes.below(32) ? count : -1;
    collection.fields = bytes.below(32) ? fields.data() : nullptr;
  }

  std::vector<std::string> names;
  std::vector<std::vector<uint8_t>> data;
  std::vector<PluginField> fields;
  PluginFieldCollection collection{};
};

Dims any_dims(fuzz::Bytes& bytes, int rank) {
  Dims dims{};
  dims.nbDims = bytes.below(8) ? rank : bytes.below(9);
  for (int k = 0; k < dims.nbDims; ++k) {
    const bool colors = rank == 3 && k == 2 && bytes.below(8);
    dims.d[k] = colors ? 7 + bytes.below(4) : bytes.below(8) ? bytes.below(12) : bytes.number();
  }
  return dims;
}

DataType any_type(fuzz::Bytes& bytes) {
  return bytes.below(4) ? DataType::kFLOAT : static_cast<DataType>(bytes.below(12));
}

int64_t size_of(const Dims& dims) {
  int64_t size = 1;
  for (int k = 0; k < dims.nbDims; ++k) size = size < 0 ? -1 : fuzz::product(kMost, {size, dims.d[k]});
  return size;
}

void use(IPluginV3& plugin, fuzz::Bytes& bytes, bool gradient) {
  auto& build = *static_cast<IPluginV3OneBuild*>(plugin.getCapabilityInterface(PluginCapabilityType::kBUILD));
  auto& runtime = *static_cast<IPluginV3OneRuntime*>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  const int inputs = gradient ? 2 : 1;
  DynamicPluginTensorDesc described[3] = {};
  PluginTensorDesc tensors[3] = {};
  DataType types[3];
  for (int k = 0; k <= inputs; ++k) {
    // Gaussians come last of the inputs; the output is images, or gradients of Gaussians.
    const int rank = k == inputs ? (gradient ? 3 : 4) : k == inputs - 1 ? 3 : 4;
    tensors[k].dims = any_dims(bytes, rank);
    tensors[k].type = types[k] = any_type(bytes);
    tensors[k].format = bytes.below(8) ? TensorFormat::kLINEAR : static_cast<TensorFormat>(bytes.below(12));
    described[k].desc = tensors[k];
  }
  const int32_t told = bytes.below(16) ? inputs : bytes.below(4);
  DataType output;
  build.getOutputDataTypes(&output, 1, types, told);
  build.supportsFormatCombination(bytes.below(16) ? bytes.below(inputs + 1) : bytes.take<int32_t>(), described, told,
                                  bytes.below(16) ? 1 : bytes.below(4));
  build.configurePlugin(described, told, described + inputs, 1);
  runtime.onShapeChange(tensors, told, tensors + inputs, 1);
  // TensorRT gives enqueue shapes that onShapeChange took, and outputs of the shapes that it asked for.
  if (runtime.onShapeChange(tensors, inputs, tensors + inputs, 1) != 0) return;
  int64_t sizes[3];
  for (int k = 0; k < inputs; ++k) {
    sizes[k] = size_of(tensors[k].dims);
    if (sizes[k] < 0) return;
  }
  const Dims& gaussians = tensors[inputs - 1].dims;
  const PluginFieldCollection& facts = *runtime.getFieldsToSerialize();
  int32_t values[6] = {};
  for (int32_t k = 0; k < facts.nbFields; ++k) std::memcpy(&values[k], facts.fields[k].data, 4);
  sizes[inputs] =
      gradient ? sizes[1] : fuzz::product(kMost, {gaussians.d[0], gaussians.d[2] - 6, values[0], values[1]});
  if (sizes[inputs] < 0) return;
  std::unique_ptr<uint8_t[]> memory[3];
  const void* from[2] = {};
  for (int k = 0; k <= inputs; ++k) memory[k] = bytes.tensor(static_cast<size_t>(sizes[k]) * 4);
  for (int k = 0; k < inputs; ++k) from[k] = memory[k].get();
  void* to[] = {memory[inputs].get()};
  runtime.enqueue(tensors, tensors + inputs, from, to, nullptr, nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Finder finder;
  static const bool once = (setLoggerFinder(&finder), true);
  check(once);
  fuzz::Bytes bytes(data, size);
  int32_t count = 0;
  const auto creators = getCreators(count);
  const bool gradient = bytes.coin();
  auto& creator = *static_cast<IPluginCreatorV3One*>(creators[gradient]);
  const Fields fields(bytes);
  const int said = finder.logger.said;
  const auto phase = bytes.coin() ? TensorRTPhase::kBUILD : TensorRTPhase::kRUNTIME;
  const PluginFieldCollection* given = bytes.below(64) ? &fields.collection : nullptr;
  std::unique_ptr<IPluginV3> plugin(creator.createPlugin("any", given, phase));
  if (plugin == nullptr) {
    check(finder.logger.said > said);
    return 0;
  }
  auto& runtime = *static_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  const PluginFieldCollection& kept = *runtime.getFieldsToSerialize();
  std::unique_ptr<IPluginV3> again(creator.createPlugin("again", &kept, TensorRTPhase::kRUNTIME));
  check(again != nullptr);
  std::unique_ptr<IPluginV3> clone(plugin->clone());
  plugin.reset();
  use(bytes.coin() ? *again : *clone, bytes, gradient);
  return 0;
}
