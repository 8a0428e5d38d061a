// Identity, capabilities, clones, serialisation, and the fields that a creator reads.
#include <cstring>

#include "checks.h"

namespace host {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldCollection;
using nvinfer1::PluginFieldType;
using nvinfer1::TensorRTPhase;

Attributes serialized(nvinfer1::IPluginV3& plugin) {
  Attributes attributes;
  const PluginFieldCollection& fields = *runtime(plugin).getFieldsToSerialize();
  for (int32_t i = 0; i < fields.nbFields; ++i) {
    int32_t value;
    std::memcpy(&value, fields.fields[i].data, sizeof value);
    attributes.emplace_back(fields.fields[i].name, value);
  }
  return attributes;
}

void check_identity(Checks& check, nvinfer1::IPluginCreatorV3One& creator, const Attributes& attributes) {
  const std::string name = creator.getPluginName();
  PluginPointer plugin = create(creator, attributes);
  check.that(plugin != nullptr, name + " is created");
  check.that(std::strcmp(plugin->getInterfaceInfo().kind, "PLUGIN") == 0 &&
                 std::strcmp(core(*plugin).getInterfaceInfo().kind, "PLUGIN_V3ONE_CORE") == 0 &&
                 std::strcmp(build(*plugin).getInterfaceInfo().kind, "PLUGIN_V3ONE_BUILD") == 0 &&
                 std::strcmp(runtime(*plugin).getInterfaceInfo().kind, "PLUGIN_V3ONE_RUNTIME") == 0,
             name + " has its three capabilities");
  check.that(name == core(*plugin).getPluginName() && std::strcmp(core(*plugin).getPluginVersion(), "1") == 0 &&
                 std::strcmp(core(*plugin).getPluginNamespace(), "gsdd") == 0 &&
                 std::strcmp(creator.getPluginVersion(), "1") == 0 &&
                 std::strcmp(creator.getPluginNamespace(), "gsdd") == 0,
             name + " is version 1 of the namespace gsdd, as its creator says");
  check.refused([&] { return plugin->getCapabilityInterface(nvinfer1::PluginCapabilityType(7)) != nullptr; },
                "capability", name + " has no capability 7");
  check.that(build(*plugin).getNbOutputs() == 1, name + " has one output");
  check.that(build(*plugin).getWorkspaceSize(nullptr, 0, nullptr, 0) == 0, name + " needs no workspace");

  check.that(serialized(*plugin) == attributes, name + " serialises every attribute");
  PluginPointer again = create(creator, serialized(*plugin), TensorRTPhase::kRUNTIME);
  check.that(again != nullptr && serialized(*again) == attributes, name + " comes back from its serialised fields");
  PluginPointer clone(plugin->clone());
  PluginPointer attached(runtime(*clone).attachToContext(nullptr));
  check.that(clone.get() != plugin.get() && attached.get() != clone.get(), name + " clones are objects of their own");
  const std::string timing_id = build(*plugin).getTimingCacheID();
  check.that(std::strcmp(build(*plugin).getMetadataString(), timing_id.c_str()) == 0, name + " describes itself");
  plugin.reset();
  check.that(serialized(*clone) == attributes && serialized(*attached) == attributes,
             name + " clones outlive their original");
  check.that(timing_id == build(*clone).getTimingCacheID(), name + " keeps its timing-cache id when cloned");
  for (size_t i = 0; i < attributes.size(); ++i) {
    Attributes changed = attributes;
    changed[i].second = changed[i].first == "dtype" ? 16 : changed[i].second + 1;
    check.that(timing_id != build(*create(creator, changed)).getTimingCacheID(),
               name + " has another timing-cache id with another " + changed[i].first);
  }
}

void check_fields(Checks& check, nvinfer1::IPluginCreatorV3One& creator, const Attributes& attributes) {
  const std::string name = creator.getPluginName();
  const PluginFieldCollection& declared = *creator.getFieldNames();
  for (int32_t i = 0; i < declared.nbFields; ++i) {
    std::printf("field %s %s\n", name.c_str(), declared.fields[i].name);
  }
  const auto with = [&](const std::string& attribute, int32_t value) {
    Attributes changed = attributes;
    for (auto& [key, old] : changed) {
      if (key == attribute) old = value;
    }
    return [&creator, changed] { return create(creator, changed) != nullptr; };
  };
  for (const auto& [attribute, value] : attributes) {
    Attributes fewer;
    for (const auto& entry : attributes) {
      if (entry.first != attribute) fewer.push_back(entry);
    }
    if (attribute == "supersample" || attribute == "dtype") {
      check.that(create(creator, fewer) != nullptr, name + " has a default for " + attribute);
    } else {
      check.refused([&] { return create(creator, fewer) != nullptr; }, "'" + attribute + "' is missing",
                    name + " without " + attribute);
    }
    check.refused(with(attribute, 0), "'" + attribute + "' must be", name + " with " + attribute + " 0");
    check.refused(with(attribute, INT32_MIN), "'" + attribute + "' must be", name + " with a negative " + attribute);
  }
  check.refused(with("supersample", 9), "1 to 8", name + " with nine samples an axis");
  Attributes more = attributes;
  more.emplace_back("hight", 3);
  check.refused([&] { return create(creator, more) != nullptr; }, "no attribute 'hight'",
                name + " with a typing error");

  const auto with_field = [&](PluginField field) {
    return [&creator, field] {
      const PluginFieldCollection collection{1, &field};
      return PluginPointer(creator.createPlugin("layer", &collection, TensorRTPhase::kBUILD)) != nullptr;
    };
  };
  const int32_t four[4] = {1, 2, 3, 4};
  const float half = 0.5f;
  check.refused(with_field({"native_height", &half, PluginFieldType::kFLOAT32, 1}), "integer", name + ": a float");
  check.refused(with_field({"native_height", four, PluginFieldType::kINT32, 4}), "integer", name + ": four integers");
  check.refused(with_field({"native_height", four, PluginFieldType::kINT32, 0}), "integer", name + ": an empty field");
  check.refused(with_field({"native_height", nullptr, PluginFieldType::kINT32, 1}), "integer", name + ": no data");
  check.refused(with_field({nullptr, four, PluginFieldType::kINT32, 1}), "no attribute ''", name + ": no name");
  const PluginFieldCollection broken[] = {{-1, nullptr}, {2, nullptr}};
  for (const PluginFieldCollection& fields : broken) {
    check.refused([&] { return creator.createPlugin("layer", &fields, TensorRTPhase::kBUILD) != nullptr; },
                  "field collection", name + ": a broken collection");
  }
  check.refused([&] { return creator.createPlugin("layer", nullptr, TensorRTPhase::kBUILD) != nullptr; },
                "field collection", name + ": no collection");

  std::vector<int64_t> wide;
  std::vector<PluginField> fields;
  for (const auto& entry : attributes) wide.push_back(entry.second);
  for (size_t i = 0; i < wide.size(); ++i) {
    fields.emplace_back(attributes[i].first.c_str(), &wide[i], PluginFieldType::kINT64, 1);
  }
  const PluginFieldCollection collection{static_cast<int32_t>(fields.size()), fields.data()};
  PluginPointer plugin(creator.createPlugin("layer", &collection, TensorRTPhase::kBUILD));
  check.that(plugin != nullptr && serialized(*plugin) == attributes, name + " takes 64 bit integers");
  wide[0] = int64_t{1} << 33;
  check.refused([&] { return creator.createPlugin("layer", &collection, TensorRTPhase::kBUILD) != nullptr; },
                "8589934592", name + ": a 64 bit integer out of range");
}

}  // namespace host
