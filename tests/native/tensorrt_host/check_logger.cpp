// The plugins log through hosts of either form, and through none where they do not know the form.
#include "checks.h"

#if NV_TENSORRT_MAJOR == 10
// As TensorRT 11 declares them; the headers in use have the older form.
namespace nvinfer1::v_1_0 {
class ILogger : public IVersionedInterface {
 public:
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILogger", 1, 0}; }
  virtual void log(nvinfer1::ILogger::Severity severity, AsciiChar const* message) noexcept = 0;
};
class ILoggerFinder : public IVersionedInterface {
 public:
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILoggerFinder", 1, 0}; }
  virtual ILogger* findLogger() = 0;
};
}  // namespace nvinfer1::v_1_0
#endif

namespace host {
namespace {

#if NV_TENSORRT_MAJOR == 10
class VersionedLogger final : public nvinfer1::v_1_0::ILogger {
 public:
  void log(nvinfer1::ILogger::Severity severity, const char* message) noexcept override {
    errors += severity == nvinfer1::ILogger::Severity::kERROR;
    last = message;
  }
  int errors = 0;
  std::string last;
};

class VersionedFinder final : public nvinfer1::v_1_0::ILoggerFinder {
 public:
  nvinfer1::v_1_0::ILogger* findLogger() override { return silent ? nullptr : &logger; }
  VersionedLogger logger;
  bool silent = false;
};
#endif

// Neither form: its functions are not to be called.
class Stranger {
 public:
  virtual void* first() {
    called = true;
    return nullptr;
  }
  virtual ~Stranger() = default;
  bool called = false;
};

}  // namespace

void check_logger(Checks& check, Library& library) {
  auto& creator = *library.creators["GaussianSplat"];
  const auto fail = [&] { return create(creator, {}) == nullptr; };
  check.refused([&] { return !fail(); }, "'height' is missing", "a logger of the headers' form is used");
#if NV_TENSORRT_MAJOR == 10
  VersionedFinder versioned;
  library.set_logger_finder(&versioned);
  check.that(fail() && versioned.logger.errors == 1 &&
                 versioned.logger.last == "gsdd::GaussianSplat: the attribute 'height' is missing",
             "a logger of TensorRT 11's form is used");
  versioned.silent = true;
  check.that(fail() && versioned.logger.errors == 1, "a finder that finds no logger is no fault");
#endif
  Stranger stranger;
  library.set_logger_finder(&stranger);
  check.that(fail() && !stranger.called, "a finder of another form is left alone");
  library.set_logger_finder(nullptr);
  check.that(fail(), "no finder is no fault");
}

}  // namespace host
