// What the checks of the interfaces share.
#pragma once

#include <cstdio>
#include <functional>
#include <string>

#include "host.h"

namespace host {

inline const Attributes kSplat = {{"height", 24},       {"width", 40},      {"native_height", 12},
                                  {"native_width", 20}, {"supersample", 3}, {"dtype", 10}};
inline const Attributes kSplatGrad = {{"native_height", 12}, {"native_width", 20}, {"supersample", 3}};

// Counts what fails and says what was checked.
struct Checks {
  LoggerFinder& finder;
  int failures = 0;

  void that(bool holds, const std::string& what) {
    if (!holds) ++failures;
    std::printf("%s %s\n", holds ? "ok  " : "FAIL", what.c_str());
  }
  // The call is refused, and the log says why in words that contain `reason`.
  void refused(const std::function<bool()>& succeeds, const std::string& reason, const std::string& what) {
    finder.logger.messages.clear();
    const bool refused = !succeeds();
    const auto& messages = finder.logger.messages;
    const bool said = !messages.empty() && messages.back().find(reason) != std::string::npos;
    that(refused && said, what + ": " + (messages.empty() ? "nothing was logged" : messages.back()));
  }
};

// Attributes as the plugin would write them to a plan.
Attributes serialized(nvinfer1::IPluginV3& plugin);

// Each in a file of its own.
void check_identity(Checks& check, nvinfer1::IPluginCreatorV3One& creator, const Attributes& attributes);
void check_fields(Checks& check, nvinfer1::IPluginCreatorV3One& creator, const Attributes& attributes);
void check_shapes(Checks& check, Library& library);
void check_types(Checks& check, Library& library);
void check_enqueue_refusals(Checks& check, Library& library);
// Leaves the library without a logger.
void check_logger(Checks& check, Library& library);

}  // namespace host
