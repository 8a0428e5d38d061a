// The attributes of the ops (plugins/op_contract.json): read from plugin fields, checked, and serialised again.
#pragma once

#include <NvInferRuntime.h>

#include <array>
#include <cstdint>
#include <span>

#include "../splat/splat.h"

namespace gsdd::tensorrt {

// Values that the ONNX standard gives its element types; the attribute `dtype` uses them.
enum OnnxType : int32_t { kOnnxFloat32 = 1, kOnnxFloat16 = 10, kOnnxBFloat16 = 16 };

struct Attributes {
  int32_t height = 0, width = 0;                // of the output, pixels
  int32_t native_height = 0, native_width = 0;  // size that the Cholesky factors are measured in, pixels
  int32_t supersample = kDefaultSupersample;    // samples per pixel and axis
  int32_t dtype = kOnnxFloat32;                 // of the output, an OnnxType
};

struct AttributeRule {
  const char* name;
  int32_t Attributes::* member;
  int32_t minimum, maximum;
  bool required;
};

inline constexpr int kMaxAttributes = 6;

// The attributes that one op has, in the order of the contract.
std::span<const AttributeRule> splat_rules();
std::span<const AttributeRule> splat_grad_rules();

// Fields to read or to write. The pointers go to `Attributes` of the same owner, so it is never copied.
struct FieldTable {
  std::array<nvinfer1::PluginField, kMaxAttributes> fields;
  nvinfer1::PluginFieldCollection collection;

  FieldTable() = default;
  FieldTable(const FieldTable&) = delete;
  FieldTable& operator=(const FieldTable&) = delete;

  // Without `values` the fields carry names and types alone.
  void fill(std::span<const AttributeRule> rules, const Attributes* values);
};

// False, with the reason logged, where a field is unknown, missing, of a wrong type or out of range.
bool read_attributes(const char* plugin, std::span<const AttributeRule> rules,
                     const nvinfer1::PluginFieldCollection* fields, Attributes* attributes);

nvinfer1::DataType tensorrt_type(int32_t onnx_type);

// False for a type that the kernel does not take.
bool kernel_type(nvinfer1::DataType type, DType* dtype);

}  // namespace gsdd::tensorrt
