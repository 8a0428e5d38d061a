// Runs enqueue on tensors from files. With GSDD_HOST_CUDA the tensors lie on the device, and everything runs a
// second time captured in a CUDA graph that is replayed on refilled outputs.
//
// One request a line, numbers raw and little-endian in the files:
//   GaussianSplat     DTYPE OUT_DTYPE batch count numbers height width native_height native_width supersample
//                     GAUSSIANS IMAGES
//   GaussianSplatGrad DTYPE float32   (the same numbers) GAUSSIANS GRAD_IMAGES GRAD_GAUSSIANS
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "host.h"

#ifdef GSDD_HOST_CUDA
#include <cuda_runtime_api.h>
#endif

namespace host {
namespace {

using nvinfer1::DataType;

using Bytes = std::vector<char>;

Bytes read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

void write(const std::string& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error("cannot write " + path);
}

DataType data_type(const std::string& name) {
  if (name == "float32") return DataType::kFLOAT;
  if (name == "float16") return DataType::kHALF;
  if (name == "bfloat16") return DataType::kBF16;
  throw std::runtime_error("no dtype " + name);
}

int32_t onnx_type(DataType type) { return type == DataType::kFLOAT ? 1 : type == DataType::kHALF ? 10 : 16; }

struct Request {
  std::string op;
  DataType dtype, out_dtype;
  int64_t batch, count, numbers;
  int32_t height, width, native_height, native_width, supersample;
  std::vector<Bytes> inputs;
  Bytes output;
  std::string output_path;
};

Request parse(const std::string& line) {
  std::istringstream words(line);
  Request r;
  std::string dtype, out_dtype, path;
  words >> r.op >> dtype >> out_dtype >> r.batch >> r.count >> r.numbers >> r.height >> r.width >> r.native_height >>
      r.native_width >> r.supersample;
  r.dtype = data_type(dtype);
  r.out_dtype = data_type(out_dtype);
  const bool grad = r.op == "GaussianSplatGrad";
  for (int i = 0; i < (grad ? 2 : 1); ++i) {
    words >> path;
    r.inputs.push_back(read(path));
  }
  words >> r.output_path;
  if (!words) throw std::runtime_error("a request of too few words: " + line);
  const int64_t elements = grad ? r.count * r.numbers : (r.numbers - 6) * r.height * r.width;
  // Filled, so that a pixel that nobody wrote shows.
  r.output.assign(static_cast<size_t>(r.batch * elements * (r.out_dtype == DataType::kFLOAT ? 4 : 2)), char(0x7f));
  return r;
}

#ifdef GSDD_HOST_CUDA
void cuda(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

class Device {
 public:
  explicit Device(const Bytes& bytes) : size_(bytes.size()) {
    cuda(cudaMalloc(&data_, size_ == 0 ? 1 : size_));
    fill(bytes);
  }
  ~Device() { cudaFree(data_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  void fill(const Bytes& bytes) { cuda(cudaMemcpy(data_, bytes.data(), size_, cudaMemcpyHostToDevice)); }
  Bytes read() const {
    Bytes bytes(size_);
    cuda(cudaMemcpy(bytes.data(), data_, size_, cudaMemcpyDeviceToHost));
    return bytes;
  }
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  size_t size_;
};
#endif

// Calls enqueue once on host memory; on a device once plainly and once in a graph, and both must agree.
void run(nvinfer1::IPluginV3& plugin, const std::vector<nvinfer1::PluginTensorDesc>& in,
         const nvinfer1::PluginTensorDesc& out, Request& r) {
  const auto enqueue = [&](const void* const* inputs, void* const* outputs, cudaStream_t stream) {
    if (runtime(plugin).onShapeChange(in.data(), static_cast<int32_t>(in.size()), &out, 1) != 0 ||
        runtime(plugin).enqueue(in.data(), &out, inputs, outputs, nullptr, stream) != 0) {
      throw std::runtime_error("enqueue was refused");
    }
  };
#ifdef GSDD_HOST_CUDA
  const Bytes filled = r.output;
  std::vector<std::unique_ptr<Device>> tensors;
  std::vector<const void*> inputs;
  for (const Bytes& bytes : r.inputs) {
    tensors.push_back(std::make_unique<Device>(bytes));
    inputs.push_back(tensors.back()->data());
  }
  Device output(filled);
  void* const outputs[1] = {output.data()};
  cudaStream_t stream;
  cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  enqueue(inputs.data(), outputs, stream);
  cuda(cudaStreamSynchronize(stream));
  r.output = output.read();

  output.fill(filled);
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  enqueue(inputs.data(), outputs, stream);
  cuda(cudaStreamEndCapture(stream, &graph));
  cuda(cudaGraphInstantiate(&executable, graph, 0));
  cuda(cudaGraphLaunch(executable, stream));
  cuda(cudaStreamSynchronize(stream));
  cuda(cudaGraphExecDestroy(executable));
  cuda(cudaGraphDestroy(graph));
  cuda(cudaStreamDestroy(stream));
  if (output.read() != r.output) throw std::runtime_error("the CUDA graph gave other numbers");
#else
  const void* inputs[2] = {r.inputs.front().data(), r.inputs.back().data()};
  void* const outputs[1] = {r.output.data()};
  enqueue(inputs, outputs, nullptr);
#endif
}

void serve(Library& library, const std::string& line) {
  Request r = parse(line);
  const nvinfer1::PluginTensorDesc gaussians = tensor({r.batch, r.count, r.numbers}, r.dtype);
  const nvinfer1::PluginTensorDesc images =
      tensor({r.batch, r.numbers - 6, r.height, r.width}, r.op == "GaussianSplat" ? r.out_dtype : DataType::kFLOAT);
  Attributes attributes = {
      {"native_height", r.native_height}, {"native_width", r.native_width}, {"supersample", r.supersample}};
  std::vector<nvinfer1::PluginTensorDesc> in = {gaussians};
  nvinfer1::PluginTensorDesc out = images;
  if (r.op == "GaussianSplat") {
    attributes.insert(attributes.end(), {{"height", r.height}, {"width", r.width}, {"dtype", onnx_type(r.out_dtype)}});
  } else {
    // The plugin takes the images first, the file has them second.
    std::swap(r.inputs[0], r.inputs[1]);
    in = {images, gaussians};
    out = tensor({r.batch, r.count, r.numbers}, DataType::kFLOAT);
  }
  PluginPointer plugin = create(*library.creators.at(r.op), attributes, nvinfer1::TensorRTPhase::kRUNTIME);
  if (plugin == nullptr) throw std::runtime_error("the plugin was not created");
  run(*plugin, in, out, r);
  write(r.output_path, r.output);
}

}  // namespace

int run_requests(Library& library, LoggerFinder& finder, const char* requests) {
  std::ifstream lines(requests);
  std::string line;
  int served = 0;
  try {
    while (std::getline(lines, line)) {
      serve(library, line);
      ++served;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "request %d: %s\n", served, error.what());
    for (const std::string& message : finder.logger.messages) std::fprintf(stderr, "%s\n", message.c_str());
    return 1;
  }
  std::printf("%d requests\n", served);
  return 0;
}

}  // namespace host
