// DALI's operator, made as a pipeline makes it, from arguments of any number and type, and given batches of any shapes
// and types, whose samples lie together or not: it refuses with a message, or fills the images that it described.
#include <dali/pipeline/operator/operator.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "bytes.h"
#include "constants.h"

namespace {

constexpr int64_t kMost = 1 << 12;
constexpr char kOperator[] = "gsdd__GaussianSplat";

void check(bool holds) {
  if (!holds) std::abort();
}

// Work of a pipeline's threads, one after the other; any of it may find no memory.
class Pool final : public dali::ThreadPool {
 public:
  Pool(fuzz::Bytes& bytes, bool fails) : bytes_(bytes), threads_(1 + bytes.below(4)), fails_(fails) {}
  // Work that is left would name a frame that is gone.
  ~Pool() override { check(work_.empty()); }

  void AddWork(std::function<void(int)> work, int64_t) override {
    maybe();
    work_.push_back(std::move(work));
  }
  void AddWork(std::function<void()> work, int64_t priority) override {
    AddWork([work](int) { work(); }, priority);
  }
  void RunAll(bool) override {
    const auto work = std::move(work_);
    work_.clear();
    for (size_t k = 0; k < work.size(); ++k) work[k](static_cast<int>(k) % threads_);
    maybe();
  }
  void WaitForWork() override { check(work_.empty()); }
  int NumThreads() const override { return threads_; }
  std::vector<std::thread::id> GetThreadIds() const override { return {}; }

 private:
  void maybe() const {
    if (fails_ && bytes_.odd(16)) throw std::runtime_error("it fails");
  }

  fuzz::Bytes& bytes_;
  int threads_;
  bool fails_;
  std::vector<std::function<void(int)>> work_;
};

dali::DALIDataType any_type(fuzz::Bytes& bytes) {
  if (bytes.odd(8)) return static_cast<dali::DALIDataType>(bytes.below(12));
  return bytes.coin() ? DALI_FLOAT16 : DALI_FLOAT;
}

void add_number(dali::OpSpec& spec, const char* name, int64_t value, fuzz::Bytes& bytes) {
  switch (bytes.odd(16) ? bytes.below(5) : 0) {
    case 0:
      spec.AddArg(name, static_cast<int>(value));
      break;
    case 1:
      spec.AddArg(name, value);
      break;
    case 2:
      spec.AddArg(name, static_cast<float>(value));
      break;
    case 3:
      spec.AddArg(name, std::to_string(value));
      break;
    default:
      spec.AddArg(name, std::vector<int>{static_cast<int>(value)});
  }
}

// As Python gives them, but for what it would refuse by itself; any may be left out.
dali::OpSpec any_spec(fuzz::Bytes& bytes) {
  dali::OpSpec spec(kOperator);
  spec.AddArg("num_threads", 1).AddArg("max_batch_size", 8).AddArg("device", std::string("cpu"));
  spec.AddInput("gaussians", dali::StorageDevice::CPU).AddOutput("images", dali::StorageDevice::CPU);
  for (const char* name : {"height", "width", "native_height", "native_width", "supersample"}) {
    const bool optional = std::string(name) == "supersample";
    if (bytes.odd(optional ? 2 : 64)) continue;
    add_number(spec, name, bytes.odd(8) ? bytes.number() : 1 + bytes.below(optional ? 4 : 16), bytes);
  }
  if (bytes.coin()) spec.AddArg("dtype", any_type(bytes));
  if (bytes.coin()) spec.AddArg("channels_last", bytes.coin());
  return spec;
}

// Shapes with memory for all of them; a batch has one number of dimensions.
dali::TensorListShape<> any_shapes(fuzz::Bytes& bytes) {
  const int rank = bytes.odd(16) ? bytes.below(5) : 2, samples = (3 + bytes.below(5)) % 5;
  dali::TensorListShape<> shapes(samples, rank);
  const int same = bytes.below(12), colors = 1 + bytes.below(4);
  for (int sample = 0; sample < samples; ++sample) {
    dali::TensorShape<> shape;
    shape.resize(rank);
    for (int k = 0; k < rank; ++k) shape[k] = bytes.odd(8) ? bytes.below(80) : bytes.below(12);
    if (rank == 2 && !bytes.odd(4)) shape[0] = same;
    if (rank == 2 && !bytes.odd(8)) shape[1] = gsdd::kShapeParameters + colors;
    if (volume(shape) > kMost) shape[0] = 0;
    shapes.set_tensor_shape(sample, shape);
  }
  return shapes;
}

using List = dali::TensorList<dali::CPUBackend>;

// Memory of exactly the batch's size, or of each sample's.
std::shared_ptr<List> any_batch(fuzz::Bytes& bytes, const dali::TensorListShape<>& shapes, dali::DALIDataType type) {
  const auto width = static_cast<size_t>(dali::TypeTable::GetTypeInfo(type).size());
  auto batch = std::make_shared<List>();
  batch->set_pinned(false);
  const auto memory = [&](int64_t numbers, size_t* size) {
    *size = static_cast<size_t>(numbers) * width;
    return std::shared_ptr<uint8_t[]>(bytes.tensor(*size));
  };
  size_t size = 0;
  const auto host = dali::AccessOrder::host();
  if (bytes.coin()) {
    const auto whole = memory(shapes.num_elements(), &size);
    batch->ShareData(whole, size, false, shapes, type, dali::CPU_ONLY_DEVICE_ID, host);
    return batch;
  }
  batch->set_type(type);
  batch->set_sample_dim(shapes.sample_dim());
  batch->SetSize(shapes.num_samples());
  for (int sample = 0; sample < shapes.num_samples(); ++sample) {
    const auto one = memory(volume(shapes.tensor_shape_span(sample)), &size);
    batch->SetSample(sample, one, size, false, shapes[sample], type, dali::CPU_ONLY_DEVICE_ID, host);
  }
  return batch;
}

void use(dali::OperatorBase& splat, fuzz::Bytes& bytes) {
  Pool pool(bytes, bytes.odd(4));
  dali::Workspace workspace;
  workspace.SetThreadPool(&pool);
  const auto type = any_type(bytes);
  workspace.AddInput(any_batch(bytes, any_shapes(bytes), type));
  workspace.AddOutput(std::make_shared<List>());
  workspace.SetBatchSizes(workspace.GetInputBatchSize(0));
  std::vector<dali::OutputDesc> described;
  check(splat.Setup(described, workspace) && described.size() == 1);
  const auto& [shapes, dtype] = described[0];
  // DALI asks for memory as the operator says; what is more than there is does not come back.
  int64_t pixels = 0;
  for (int sample = 0; sample < shapes.num_samples() && pixels >= 0; ++sample) {
    const auto one = fuzz::product(kMost, {shapes.tensor_shape_span(sample)[0], shapes.tensor_shape_span(sample)[1],
                                           shapes.tensor_shape_span(sample)[2]});
    pixels = one < 0 ? -1 : pixels + one;
  }
  if (pixels < 0) return;
  workspace.SetOutput(0, any_batch(bytes, shapes, dtype));
  splat.Run(workspace);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Bytes bytes(data, size);
  try {
    const auto splat = dali::InstantiateOperator(any_spec(bytes));
    for (int run = 0; run < 2; ++run) use(*splat, bytes);
  } catch (const std::exception& error) {
    check(*error.what() != 0);
  }
  return 0;
}
