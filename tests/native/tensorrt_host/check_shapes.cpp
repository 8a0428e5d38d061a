// Output shapes, and the shapes that TensorRT announces before a launch.
#include <deque>

#include "checks.h"

namespace host {
namespace {

using nvinfer1::DataType;
using nvinfer1::DimsExprs;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;

// TensorRT's expressions of dimensions, as far as the plugins use them.
class Expression final : public nvinfer1::IDimensionExpr, nvinfer1::apiv::VDimensionExpr {
 public:
  Expression(bool constant, int64_t value) : constant_(constant), value_(value) { mImpl = this; }
  bool isConstant() const override { return constant_; }
  int64_t getConstantValue() const override { return value_; }
  bool isSizeTensor() const override { return false; }

 private:
  bool constant_;
  int64_t value_;
};

class Builder final : public nvinfer1::IExprBuilder, nvinfer1::apiv::VExprBuilder {
 public:
  Builder() { mImpl = this; }
  const nvinfer1::IDimensionExpr* unknown() { return &expressions_.emplace_back(false, -1); }
  const nvinfer1::IDimensionExpr* constant(int64_t value) override { return &expressions_.emplace_back(true, value); }
  const nvinfer1::IDimensionExpr* operation(nvinfer1::DimensionOperation operation,
                                            const nvinfer1::IDimensionExpr& first,
                                            const nvinfer1::IDimensionExpr& second) override {
    if (operation != nvinfer1::DimensionOperation::kSUB) return nullptr;
    if (!first.isConstant() || !second.isConstant()) return unknown();
    return constant(first.getConstantValue() - second.getConstantValue());
  }
  const nvinfer1::IDimensionExpr* declareSizeTensor(int32_t, const nvinfer1::IDimensionExpr&,
                                                    const nvinfer1::IDimensionExpr&) override {
    return nullptr;
  }
  // A dimension of -1 is unknown.
  DimsExprs dims(std::initializer_list<int64_t> values) {
    DimsExprs result{};
    for (const int64_t value : values) result.d[result.nbDims++] = value < 0 ? unknown() : constant(value);
    return result;
  }

 private:
  std::deque<Expression> expressions_;
};

bool equal(const DimsExprs& dims, std::initializer_list<int64_t> values) {
  if (dims.nbDims != static_cast<int32_t>(values.size())) return false;
  int i = 0;
  for (const int64_t value : values) {
    const auto& dim = *dims.d[i++];
    if (dim.isConstant() ? dim.getConstantValue() != value : value >= 0) return false;
  }
  return true;
}

DynamicPluginTensorDesc dynamic(const PluginTensorDesc& desc) {
  return DynamicPluginTensorDesc{desc, desc.dims, desc.dims, desc.dims};
}

void check_splat_shapes(Checks& check, nvinfer1::IPluginV3& plugin) {
  Builder builder;
  const auto shapes = [&](std::initializer_list<int64_t> gaussians, int32_t count = 1) {
    const DimsExprs input = builder.dims(gaussians);
    DimsExprs output{};
    const bool good = build(plugin).getOutputShapes(&input, count, nullptr, 0, &output, 1, builder) == 0;
    return good ? output : DimsExprs{};
  };
  check.that(equal(shapes({5, 7, 9}), {5, 3, 24, 40}), "GaussianSplat: shape of a fixed batch");
  check.that(equal(shapes({-1, -1, 7}), {-1, 1, 24, 40}), "GaussianSplat: shape of a dynamic batch and count");
  check.that(equal(shapes({-1, 7, -1}), {-1, -1, 24, 40}), "GaussianSplat: shape of dynamic channels");
  check.refused([&] { return shapes({5, 9}).nbDims != 0; }, "2 dimensions", "GaussianSplat: two dimensions");
  check.refused([&] { return shapes({5, 7, 6}).nbDims != 0; }, "not 6", "GaussianSplat: no channel");
  check.refused([&] { return shapes({5, 7, 11}).nbDims != 0; }, "not 11", "GaussianSplat: five channels");
  check.refused([&] { return shapes({5, 7, 9}, 2).nbDims != 0; }, "1 input(s)", "GaussianSplat: two inputs");

  const auto changes = [&](const PluginTensorDesc& input) {
    const PluginTensorDesc output = tensor({1, 3, 24, 40}, DataType::kHALF);
    const DynamicPluginTensorDesc in = dynamic(input), out = dynamic(output);
    const bool configured = build(plugin).configurePlugin(&in, 1, &out, 1) == 0;
    return configured && runtime(plugin).onShapeChange(&input, 1, &output, 1) == 0;
  };
  check.that(changes(tensor({0, 7, 9}, DataType::kBF16)), "GaussianSplat: an empty batch is a shape");
  check.that(changes(tensor({-1, 7, 9}, DataType::kBF16)), "GaussianSplat: a dynamic batch is configured");
  check.refused([&] { return changes(tensor({7, 9}, DataType::kBF16)); }, "2 dimensions", "GaussianSplat: rank 2");
  check.refused([&] { return changes(tensor({1, 7, 99}, DataType::kBF16)); }, "not 99", "GaussianSplat: 93 channels");
}

void check_grad_shapes(Checks& check, nvinfer1::IPluginV3& plugin) {
  Builder builder;
  const auto shapes = [&](std::initializer_list<int64_t> images, std::initializer_list<int64_t> gaussians) {
    const DimsExprs inputs[2] = {builder.dims(images), builder.dims(gaussians)};
    DimsExprs output{};
    const bool good = build(plugin).getOutputShapes(inputs, 2, nullptr, 0, &output, 1, builder) == 0;
    return good ? output : DimsExprs{};
  };
  check.that(equal(shapes({-1, 3, 24, 40}, {-1, 7, 9}), {-1, 7, 9}), "GaussianSplatGrad: the shape of gaussians");
  check.refused([&] { return shapes({5, 3, 24}, {5, 7, 9}).nbDims != 0; }, "grad_images", "GaussianSplatGrad: rank 3");
  check.refused([&] { return shapes({5, 3, 24, 40}, {5, 7}).nbDims != 0; }, "dimensions",
                "GaussianSplatGrad: gaussians of rank 2");

  const auto changes = [&](std::initializer_list<int64_t> images, std::initializer_list<int64_t> gaussians) {
    const PluginTensorDesc inputs[2] = {tensor(images, DataType::kFLOAT), tensor(gaussians, DataType::kBF16)};
    const PluginTensorDesc output = tensor(gaussians, DataType::kFLOAT);
    const DynamicPluginTensorDesc in[2] = {dynamic(inputs[0]), dynamic(inputs[1])}, out = dynamic(output);
    const bool configured = build(plugin).configurePlugin(in, 2, &out, 1) == 0;
    return configured && runtime(plugin).onShapeChange(inputs, 2, &output, 1) == 0;
  };
  check.that(changes({2, 3, 24, 40}, {2, 7, 9}), "GaussianSplatGrad: shapes that fit");
  check.that(changes({-1, 3, 24, 40}, {-1, 7, 9}), "GaussianSplatGrad: a dynamic batch is configured");
  check.refused([&] { return changes({2, 3, 24, 40}, {3, 7, 9}); }, "batch", "GaussianSplatGrad: two batches");
  check.refused([&] { return changes({2, 1, 24, 40}, {2, 7, 9}); }, "channels", "GaussianSplatGrad: other channels");
  check.refused([&] { return changes({2, 3, 24}, {2, 7, 9}); }, "grad_images", "GaussianSplatGrad: images of rank 3");
}

}  // namespace

void check_shapes(Checks& check, Library& library) {
  check_splat_shapes(check, *create(*library.creators["GaussianSplat"], kSplat));
  check_grad_shapes(check, *create(*library.creators["GaussianSplatGrad"], kSplatGrad));
}

}  // namespace host
