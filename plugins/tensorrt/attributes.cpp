#include "attributes.h"

#include <cinttypes>
#include <cstring>

#include "log.h"

namespace gsdd::tensorrt {
namespace {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

constexpr AttributeRule kNativeHeight{"native_height", &Attributes::native_height, 1, INT32_MAX, true};
constexpr AttributeRule kNativeWidth{"native_width", &Attributes::native_width, 1, INT32_MAX, true};
constexpr AttributeRule kSupersample{"supersample", &Attributes::supersample, 1, kMaxSupersample, false};

constexpr AttributeRule kSplatRules[] = {
    {"height", &Attributes::height, 1, kMaxSide, true},
    {"width", &Attributes::width, 1, kMaxSide, true},
    kNativeHeight,
    kNativeWidth,
    kSupersample,
    {"dtype", &Attributes::dtype, INT32_MIN, INT32_MAX, false},  // its three values are checked apart
};
constexpr AttributeRule kSplatGradRules[] = {kNativeHeight, kNativeWidth, kSupersample};

bool read_integer(const PluginField& field, int64_t* value) {
  if (field.data == nullptr || field.length != 1) return false;
  if (field.type == PluginFieldType::kINT32) {
    int32_t narrow;
    std::memcpy(&narrow, field.data, sizeof narrow);
    *value = narrow;
    return true;
  }
  if (field.type == PluginFieldType::kINT64) {
    std::memcpy(value, field.data, sizeof *value);
    return true;
  }
  return false;
}

bool read_field(const char* plugin, std::span<const AttributeRule> rules, const PluginField& field,
                Attributes* attributes, bool (&seen)[kMaxAttributes]) {
  const char* const name = field.name != nullptr ? field.name : "";
  for (size_t i = 0; i < rules.size(); ++i) {
    const AttributeRule& rule = rules[i];
    if (std::strcmp(name, rule.name) != 0) continue;
    int64_t value;
    if (!read_integer(field, &value)) {
      log_error(plugin, "the attribute '%s' must be one 32 or 64 bit integer", name);
      return false;
    }
    if (value < rule.minimum || value > rule.maximum) {
      log_error(plugin, "the attribute '%s' must be %" PRId32 " to %" PRId32 ", not %" PRId64, name, rule.minimum,
                rule.maximum, value);
      return false;
    }
    attributes->*rule.member = static_cast<int32_t>(value);
    seen[i] = true;
    return true;
  }
  log_error(plugin, "there is no attribute '%s'", name);
  return false;
}

}  // namespace

std::span<const AttributeRule> splat_rules() { return kSplatRules; }
std::span<const AttributeRule> splat_grad_rules() { return kSplatGradRules; }

void FieldTable::fill(std::span<const AttributeRule> rules, const Attributes* values) {
  for (size_t i = 0; i < rules.size(); ++i) {
    const void* const data = values != nullptr ? &(values->*rules[i].member) : nullptr;
    fields[i] = PluginField(rules[i].name, data, PluginFieldType::kINT32, 1);
  }
  collection.nbFields = static_cast<int32_t>(rules.size());
  collection.fields = fields.data();
}

bool read_attributes(const char* plugin, std::span<const AttributeRule> rules,
                     const nvinfer1::PluginFieldCollection* fields, Attributes* attributes) {
  if (fields == nullptr || fields->nbFields < 0 || (fields->nbFields > 0 && fields->fields == nullptr)) {
    log_error(plugin, "the plugin was given no field collection");
    return false;
  }
  bool seen[kMaxAttributes] = {};
  for (int32_t i = 0; i < fields->nbFields; ++i) {
    if (!read_field(plugin, rules, fields->fields[i], attributes, seen)) return false;
  }
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].required && !seen[i]) {
      log_error(plugin, "the attribute '%s' is missing", rules[i].name);
      return false;
    }
  }
  const int32_t dtype = attributes->dtype;
  if (dtype != kOnnxFloat32 && dtype != kOnnxFloat16 && dtype != kOnnxBFloat16) {
    log_error(plugin, "the attribute 'dtype' must be 1 (float32), 10 (float16) or 16 (bfloat16), not %" PRId32, dtype);
    return false;
  }
  return true;
}

nvinfer1::DataType tensorrt_type(int32_t onnx_type) {
  switch (onnx_type) {
    case kOnnxFloat16:
      return nvinfer1::DataType::kHALF;
    case kOnnxBFloat16:
      return nvinfer1::DataType::kBF16;
    default:
      return nvinfer1::DataType::kFLOAT;
  }
}

bool kernel_type(nvinfer1::DataType type, DType* dtype) {
  switch (type) {
    case nvinfer1::DataType::kFLOAT:
      *dtype = DType::kFloat32;
      return true;
    case nvinfer1::DataType::kHALF:
      *dtype = DType::kFloat16;
      return true;
    case nvinfer1::DataType::kBF16:
      *dtype = DType::kBFloat16;
      return true;
    default:
      return false;
  }
}

}  // namespace gsdd::tensorrt
