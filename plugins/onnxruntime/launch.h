// Running the kernel where a provider runs: the CPU's in onnxruntime's own threads, CUDA's on its stream.
#pragma once

#include <atomic>

#include "api.h"

namespace gsdd::ort {

// One run of a node.
struct Call {
  const OrtApi& api;
  const OrtKernelContext* context;
  // The most threads that were seen at work at once in the node's runs, 0 before the first. onnxruntime tells an
  // operator nothing of its pool.
  std::atomic<int32_t>& threads;
};

// The status of a kernel as one of onnxruntime; null for kOk.
OrtStatus* report(const OrtApi& api, const char* op, Status status);

struct Launcher {
  // As OrtCustomOp gives it: null is the CPU.
  const char* provider;
  OrtStatus* (*forward)(const Call& call, const SplatParams& params, int device);
  OrtStatus* (*backward)(const Call& call, const SplatGradParams& params, int device);
};

extern const Launcher kCpuLauncher;
#if defined(GSDD_WITH_CUDA)
extern const Launcher kCudaLauncher;
#endif

}  // namespace gsdd::ort
