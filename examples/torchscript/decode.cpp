// Decodes images of an exported TorchScript decoder in a program without Python.
//
//   decode LIBRARY DECODER OUT INDEX...
//
// LIBRARY is our torch library (`gsdd.plugin_library("torch")`), DECODER what `gsdd-rt export --torchscript` wrote. OUT
// gets the images as raw float32, [batch, channels, height, width]; the shape and the labels are printed.
#include <dlfcn.h>
#include <torch/script.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <vector>

namespace {

int fail(const std::string& message) {
  std::cerr << "decode: " << message << "\n";
  return EXIT_FAILURE;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 5) return fail("give LIBRARY DECODER OUT INDEX...");
  // Registers torch.ops.gsdd.splat, which the decoder calls. It stays loaded for as long as the program runs.
  if (dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL) == nullptr) return fail(dlerror());
  std::vector<int64_t> indices;
  for (int i = 4; i < count; ++i) indices.push_back(std::atoll(arguments[i]));
  try {
    torch::jit::Module decoder = torch::jit::load(arguments[2]);
    const torch::InferenceMode guard;
    const auto outputs = decoder.forward({torch::tensor(indices, torch::kInt64)}).toTuple()->elements();
    const torch::Tensor images = outputs[0].toTensor().to(torch::kFloat32).contiguous();
    std::ofstream out(arguments[3], std::ios::binary);
    out.write(static_cast<const char*>(images.const_data_ptr()), static_cast<std::streamsize>(images.nbytes()));
    if (!out.flush()) return fail(std::string("cannot write ") + arguments[3]);
    std::cout << images.sizes() << "\n" << outputs[1].toTensor() << "\n";
  } catch (const std::exception& error) {
    return fail(error.what());
  }
  return EXIT_SUCCESS;
}
