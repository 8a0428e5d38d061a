// Running the kernel where a provider runs: the CPU's in onnxruntime's own threads, CUDA's on its stream.
#pragma once

#include "api.h"

namespace gsdd::ort {

// The status of a kernel as one of onnxruntime; null for kOk.
OrtStatus* report(const char* op, Status status);

struct Launcher {
  // As OrtCustomOp gives it: null is the CPU.
  const char* provider;
  OrtStatus* (*forward)(const OrtKernelContext* context, const SplatParams& params, int device);
  OrtStatus* (*backward)(const OrtKernelContext* context, const SplatGradParams& params, int device);
};

extern const Launcher kCpuLauncher;
#if defined(GSDD_WITH_CUDA)
extern const Launcher kCudaLauncher;
#endif

}  // namespace gsdd::ort
