// What the plugins say, through the logger of the TensorRT that loaded the library.
#pragma once

#include <NvInferRuntime.h>

namespace gsdd::tensorrt {

// Remembers where the host's logger is found: an ILoggerFinder of whichever TensorRT, or null.
void set_logger_finder(void* finder);

// printf-like, cut at 511 characters. Without a host's logger the message goes to stderr.
__attribute__((format(printf, 2, 3))) void log_error(const char* plugin, const char* format, ...);

}  // namespace gsdd::tensorrt
