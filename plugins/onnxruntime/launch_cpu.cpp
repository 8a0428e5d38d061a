// The CPU provider: the kernel's parts become tasks of the session's own intra-op pool.
#include <algorithm>
#include <thread>

#include "launch.h"

namespace gsdd::ort {
namespace {

struct Pool {
  const OrtKernelContext* context;
  OrtStatus* status;
};

struct Job {
  ParallelFor::Body body;
  void* context;
  int64_t count, part;
};

void run_part(void* data, size_t index) {
  const Job& job = *static_cast<const Job*>(data);
  const int64_t begin = static_cast<int64_t>(index) * job.part;
  job.body(job.context, begin, std::min(begin + job.part, job.count));
}

void run(void* data, int64_t count, int64_t grain, ParallelFor::Body body, void* context) {
  Pool& pool = *static_cast<Pool*>(data);
  if (count <= 0) return;
  // More parts than threads, so that one slow part holds nothing up; each at least a grain.
  const int64_t most = 8 * std::max<int64_t>(1, std::thread::hardware_concurrency());
  const int64_t parts = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, most);
  Job job{body, context, count, (count + parts - 1) / parts};
  const int64_t tasks = (count + job.part - 1) / job.part;
  if (tasks == 1) return body(context, 0, count);
  OrtStatus* status = api().KernelContext_ParallelFor(pool.context, run_part, static_cast<size_t>(tasks), 0, &job);
  if (status == nullptr) return;
  // The kernel knows no failing pool: the first status is kept, and the rest is not computed.
  if (pool.status != nullptr) return api().ReleaseStatus(status);
  pool.status = status;
}

template <typename Params>
OrtStatus* launch(const char* op, Status (*kernel)(const Params&, const ParallelFor&), const OrtKernelContext* context,
                  const Params& params) {
  Pool pool{context, nullptr};
  ParallelFor parallel;
  parallel.run = run;
  parallel.pool = &pool;
  parallel.threads = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
  OrtStatus* status = report(op, kernel(params, parallel));
  if (pool.status == nullptr) return status;
  if (status != nullptr) api().ReleaseStatus(status);
  return pool.status;
}

OrtStatus* forward(const OrtKernelContext* context, const SplatParams& params, int) {
  return launch("GaussianSplat", splat_cpu, context, params);
}

OrtStatus* backward(const OrtKernelContext* context, const SplatGradParams& params, int) {
  return launch("GaussianSplatGrad", splat_backward_cpu, context, params);
}

}  // namespace

OrtStatus* report(const char* op, Status status) {
  if (status == Status::kOk) return nullptr;
  return error(ORT_INVALID_ARGUMENT, "gsdd::%s: %s", op, message(status));
}

const Launcher kCpuLauncher{nullptr, forward, backward};

}  // namespace gsdd::ort
