#include "log.h"

#include <cxxabi.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <typeinfo>

// Objects of these classes come from another library.
#define GSDD_HOSTS __attribute__((visibility("default")))

namespace gsdd::tensorrt {

// TensorRT 11 put ILoggerFinder and ILogger behind IVersionedInterface, which moved their functions in the table:
// the headers of either version call a wrong function of the other. So both forms are stated here, with external
// linkage: in an unnamed namespace nothing could derive from them, and the compiler would call nothing.
namespace plain {  // TensorRT 10
class GSDD_HOSTS Logger {
 public:
  virtual void log(nvinfer1::ILogger::Severity severity, const char* message) noexcept = 0;

 protected:
  ~Logger() = default;
};
class GSDD_HOSTS Finder {
 public:
  virtual Logger* find() = 0;

 protected:
  ~Finder() = default;
};
}  // namespace plain

namespace versioned {  // TensorRT 11, and TensorRT-RTX of its age
class GSDD_HOSTS Logger : public nvinfer1::IVersionedInterface {
 public:
  virtual void log(nvinfer1::ILogger::Severity severity, const char* message) noexcept = 0;
};
class GSDD_HOSTS Finder : public nvinfer1::IVersionedInterface {
 public:
  virtual Logger* find() = 0;
};
}  // namespace versioned

namespace {

constexpr auto kError = nvinfer1::ILogger::Severity::kERROR;

enum class Form { kUnknown, kPlain, kVersioned };

// By the type information before the object's table, so that nothing is called before it is known what it is.
Form form_of(const void* object) {
  const std::type_info* type = (*static_cast<const std::type_info* const* const*>(object))[-1];
  while (type != nullptr) {
    if (std::strcmp(type->name(), "N8nvinfer113ILoggerFinderE") == 0) return Form::kPlain;
    if (std::strcmp(type->name(), "N8nvinfer15v_1_013ILoggerFinderE") == 0) return Form::kVersioned;
    const auto* const derived = dynamic_cast<const abi::__si_class_type_info*>(type);
    type = derived != nullptr ? derived->__base_type : nullptr;
  }
  return Form::kUnknown;
}

std::atomic<void*> logger_finder{nullptr};

// False where there is no logger that could be called. The check that an object is of the class named here would
// fail on purpose.
__attribute__((no_sanitize("vptr"))) bool log_to_host(const char* text) {
  void* const finder = logger_finder;
  if (finder == nullptr) return false;
  if (form_of(finder) == Form::kPlain) {
    plain::Logger* const logger = static_cast<plain::Finder*>(finder)->find();
    if (logger != nullptr) logger->log(kError, text);
    return logger != nullptr;
  }
  if (form_of(finder) == Form::kVersioned) {
    versioned::Logger* const logger = static_cast<versioned::Finder*>(finder)->find();
    if (logger != nullptr) logger->log(kError, text);
    return logger != nullptr;
  }
  return false;
}

}  // namespace

void set_logger_finder(void* finder) { logger_finder = finder; }

void log_error(const char* plugin, const char* format, ...) {
  // A fixed buffer: a message about exhausted memory must not ask for more.
  char text[512];
  const int prefix = std::snprintf(text, sizeof text, "gsdd::%s: ", plugin);
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text + prefix, sizeof text - static_cast<size_t>(prefix), format, arguments);
  va_end(arguments);
  if (!log_to_host(text)) std::fprintf(stderr, "%s\n", text);
}

}  // namespace gsdd::tensorrt
