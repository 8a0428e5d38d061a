// The CPU provider: the kernel's parts become tasks of the session's own intra-op pool.
#include <algorithm>
#include <thread>

#include "launch.h"

namespace gsdd::ort {
namespace {

struct Pool {
  const Call& call;
  int32_t threads;  // as the kernel was told
  OrtStatus* status;
};

struct Job {
  ParallelFor::Body body;
  void* context;
  int64_t count, part;
  std::atomic<int32_t> inside{0}, most{0};
};

void run_part(void* data, size_t index) {
  Job& job = *static_cast<Job*>(data);
  const int32_t inside = job.inside.fetch_add(1, std::memory_order_relaxed) + 1;
  for (int32_t most = job.most.load(std::memory_order_relaxed); most < inside;) {
    if (job.most.compare_exchange_weak(most, inside, std::memory_order_relaxed)) break;
  }
  const int64_t begin = static_cast<int64_t>(index) * job.part;
  job.body(job.context, begin, std::min(begin + job.part, job.count));
  job.inside.fetch_sub(1, std::memory_order_relaxed);
}

void run(void* data, int64_t count, int64_t grain, ParallelFor::Body body, void* context) {
  Pool& pool = *static_cast<Pool*>(data);
  if (count <= 0) return;
  // More parts than threads, so that one slow part holds nothing up; each at least a grain.
  const int64_t parts = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, 8 * int64_t{pool.threads});
  Job job{body, context, count, (count + parts - 1) / parts};
  const int64_t tasks = (count + job.part - 1) / job.part;
  if (tasks == 1) return body(context, 0, count);
  const OrtApi& api = pool.call.api;
  OrtStatus* status = api.KernelContext_ParallelFor(pool.call.context, run_part, static_cast<size_t>(tasks), 0, &job);
  const int32_t most = job.most.load(std::memory_order_relaxed);
  std::atomic<int32_t>& seen = pool.call.threads;
  if (most > seen.load(std::memory_order_relaxed)) seen.store(most, std::memory_order_relaxed);
  if (status == nullptr) return;
  // The kernel knows no failing pool: the first status is kept, and the rest is not computed.
  if (pool.status != nullptr) return api.ReleaseStatus(status);
  pool.status = status;
}

// For how many threads the kernel cuts its work. Cut for many more than the session's pool has, it computes what pieces
// have in common many times over: for twice as many as were seen, so that more are found within a few runs.
int32_t threads_for(int32_t seen) {
  const auto all = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
  return seen == 0 ? all : std::min(all, 2 * seen);
}

template <typename Params>
OrtStatus* launch(const char* op, Status (*kernel)(const Params&, const ParallelFor&), const Call& call,
                  const Params& params) {
  Pool pool{call, threads_for(call.threads.load(std::memory_order_relaxed)), nullptr};
  ParallelFor parallel;
  parallel.run = run;
  parallel.pool = &pool;
  parallel.threads = pool.threads;
  OrtStatus* status = report(call.api, op, kernel(params, parallel));
  if (pool.status == nullptr) return status;
  if (status != nullptr) call.api.ReleaseStatus(status);
  return pool.status;
}

OrtStatus* forward(const Call& call, const SplatParams& params, int) {
  return launch("GaussianSplat", splat_cpu, call, params);
}

OrtStatus* backward(const Call& call, const SplatGradParams& params, int) {
  return launch("GaussianSplatGrad", splat_backward_cpu, call, params);
}

}  // namespace

OrtStatus* report(const OrtApi& api, const char* op, Status status) {
  if (status == Status::kOk) return nullptr;
  return error(api, ORT_INVALID_ARGUMENT, "gsdd::%s: %s", op, message(status));
}

const Launcher kCpuLauncher{nullptr, forward, backward};

}  // namespace gsdd::ort
