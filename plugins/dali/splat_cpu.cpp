// The CPU backend: the kernel's parts become work of the pipeline's own thread pool.
#include <algorithm>
#include <exception>

#include "arguments.h"

namespace gsdd::dali_door {
namespace {

struct Pool {
  dali::ThreadPool& threads;
  std::exception_ptr failure;
};

void run(void* data, int64_t count, int64_t grain, ParallelFor::Body body, void* context) {
  Pool& pool = *static_cast<Pool*>(data);
  if (count <= 0) return;
  // More parts than threads, so that one slow part holds nothing up; each at least a grain.
  const int64_t parts = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, 8 * pool.threads.NumThreads());
  const int64_t part = (count + parts - 1) / parts;
  if (part >= count) return body(context, 0, count);
  // The kernel knows no exceptions: the first is kept, and thrown when it has returned.
  try {
    for (int64_t begin = 0; begin < count; begin += part) {
      const int64_t end = std::min(begin + part, count);
      pool.threads.AddWork([=](int) { body(context, begin, end); }, -begin);
    }
  } catch (...) {
    pool.failure = std::current_exception();
  }
  // Also after a failure: the work that was added names this frame.
  try {
    pool.threads.RunAll();
  } catch (...) {
    if (!pool.failure) pool.failure = std::current_exception();
  }
}

class SplatCpu : public Splat<dali::CPUBackend> {
 public:
  using Splat<dali::CPUBackend>::Splat;

 protected:
  void RunImpl(dali::Workspace& workspace) override {
    Pool pool{workspace.GetThreadPool(), nullptr};
    const ParallelFor parallel{run, &pool, pool.threads.NumThreads()};
    for (const Part& part : prepared(workspace)) {
      const Status status = splat_cpu(part.params, parallel);
      if (pool.failure) std::rethrow_exception(pool.failure);
      raise_unless_ok(status);
    }
  }
};

}  // namespace
}  // namespace gsdd::dali_door

namespace dali {

DALI_REGISTER_OPERATOR(gsdd__GaussianSplat, ::gsdd::dali_door::SplatCpu, CPU);

}  // namespace dali
