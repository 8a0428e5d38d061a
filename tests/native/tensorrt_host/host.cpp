#include "host.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace host {
namespace {

void* symbol(void* library, const char* name) {
  void* const address = dlsym(library, name);
  if (address == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(2);
  }
  return address;
}

}  // namespace

Library load(const char* path, LoggerFinder* finder) {
  void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(2);
  }
  Library library;
  library.set_logger_finder = reinterpret_cast<void (*)(void*)>(symbol(handle, "setLoggerFinder"));
  library.set_logger_finder(finder);
  const auto get_creators =
      reinterpret_cast<nvinfer1::IPluginCreatorInterface* const* (*)(int32_t&)>(symbol(handle, "getCreators"));
  int32_t count = 0;
  nvinfer1::IPluginCreatorInterface* const* const creators = get_creators(count);
  for (int32_t i = 0; i < count; ++i) {
    if (std::strcmp(creators[i]->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE") != 0) {
      std::fprintf(stderr, "creator %d is a %s\n", i, creators[i]->getInterfaceInfo().kind);
      std::exit(2);
    }
    auto* const creator = static_cast<nvinfer1::IPluginCreatorV3One*>(creators[i]);
    library.creators[creator->getPluginName()] = creator;
  }
  return library;
}

PluginPointer create(nvinfer1::IPluginCreatorV3One& creator, const Attributes& attributes,
                     nvinfer1::TensorRTPhase phase) {
  std::vector<nvinfer1::PluginField> fields;
  for (const auto& [name, value] : attributes) {
    fields.emplace_back(name.c_str(), &value, nvinfer1::PluginFieldType::kINT32, 1);
  }
  const nvinfer1::PluginFieldCollection collection{static_cast<int32_t>(fields.size()), fields.data()};
  return PluginPointer(creator.createPlugin("layer", &collection, phase));
}

}  // namespace host

int main(int argc, char** argv) {
  host::LoggerFinder finder;
  if (argc == 3 && std::strcmp(argv[2], "interfaces") == 0) {
    host::Library library = host::load(argv[1], &finder);
    return host::check_interfaces(library, finder);
  }
  if (argc == 4 && std::strcmp(argv[2], "enqueue") == 0) {
    host::Library library = host::load(argv[1], &finder);
    return host::run_requests(library, finder, argv[3]);
  }
  std::fprintf(stderr, "usage: tensorrt_host LIBRARY interfaces | tensorrt_host LIBRARY enqueue REQUESTS\n");
  return 2;
}
