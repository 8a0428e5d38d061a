// What the CPU launcher asks of the pool of a session: that all of the kernel's work goes there, by the functions of
// the onnxruntime that calls, and that it is cut for about as many threads as the pool has. The kernel is a stand-in.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "launch.h"

// As on a large machine, wherever this runs.
unsigned std::thread::hardware_concurrency() noexcept { return 64; }

namespace {

#define CHECK(condition)                                             \
  do {                                                               \
    if (condition) break;                                            \
    std::fprintf(stderr, "line %d: not %s\n", __LINE__, #condition); \
    std::exit(1);                                                    \
  } while (false)

// One onnxruntime, told apart by its status objects and its contexts.
struct Runtime {
  OrtApi api{};
  size_t threads = 1;
  int calls = 0;
  bool failing = false;
  std::set<OrtStatus*> statuses;
} runtimes[2];

Runtime& of(const OrtKernelContext* context) {
  return *reinterpret_cast<Runtime*>(const_cast<OrtKernelContext*>(context));
}

OrtKernelContext* context_of(Runtime& runtime) { return reinterpret_cast<OrtKernelContext*>(&runtime); }

// As onnxruntime has it: without a pool, one task after the other; else by its threads, the caller among them.
OrtStatus* parallel_for(const OrtKernelContext* context, void (*task)(void*, size_t), size_t total, size_t,
                        void* data) noexcept {
  Runtime& runtime = of(context);
  ++runtime.calls;
  if (runtime.failing) return runtime.api.CreateStatus(ORT_FAIL, "the pool is gone");
  std::atomic<size_t> next{0};
  auto loop = [&] {
    for (size_t index; (index = next.fetch_add(1)) < total;) task(data, index);
  };
  std::vector<std::thread> others;
  for (size_t k = 1; k < runtime.threads; ++k) others.emplace_back(loop);
  loop();
  for (std::thread& other : others) other.join();
  return nullptr;
}

template <int index>
OrtStatus* create_status(OrtErrorCode, const char* text) noexcept {
  auto* made = reinterpret_cast<OrtStatus*>(new std::string(text));
  runtimes[index].statuses.insert(made);
  return made;
}

template <int index>
void release_status(OrtStatus* status) {
  CHECK(runtimes[index].statuses.erase(status) == 1);
  delete reinterpret_cast<std::string*>(status);
}

template <int index>
void fill() {
  runtimes[index].api.KernelContext_ParallelFor = parallel_for;
  runtimes[index].api.CreateStatus = create_status<index>;
  runtimes[index].api.ReleaseStatus = release_status<index>;
}

// What the stand-in for the kernel was told, and by how many threads it was run.
int32_t told;
std::set<std::thread::id> ran;
size_t pool_size;
gsdd::Status result = gsdd::Status::kOk;

struct Work {
  std::mutex mutex;
  std::atomic<size_t> arrived{0};
  size_t expected;
};

// Waits until as many are inside as the pool has threads, so that the launcher is sure to see them all.
void work(void* data, int64_t, int64_t) {
  Work& shared = *static_cast<Work*>(data);
  ++shared.arrived;
  while (shared.arrived < shared.expected) std::this_thread::yield();
  const std::lock_guard<std::mutex> lock(shared.mutex);
  ran.insert(std::this_thread::get_id());
}

gsdd::Status render(const gsdd::ParallelFor& parallel) {
  told = parallel.threads;
  ran.clear();
  Work shared;
  shared.expected = pool_size;
  parallel.run(parallel.pool, parallel.threads, 1, work, &shared);
  return result;
}

OrtStatus* forward(Runtime& runtime, std::atomic<int32_t>& seen) {
  const gsdd::ort::Call call{runtime.api, context_of(runtime), seen};
  return gsdd::ort::kCpuLauncher.forward(call, gsdd::SplatParams{}, 0);
}

void is_cut_for(size_t threads) {
  runtimes[0].threads = pool_size = threads;
  std::atomic<int32_t> seen{0};
  CHECK(forward(runtimes[0], seen) == nullptr);
  CHECK(told == 64);
  CHECK(ran.size() == threads);
  CHECK(seen == static_cast<int32_t>(threads));
  CHECK(forward(runtimes[0], seen) == nullptr);
  CHECK(told == static_cast<int32_t>(threads < 32 ? 2 * threads : 64));
  CHECK(ran.size() == threads);
}

// A first run of few parts, or a busy machine, shows few threads: the others are found soon.
void finds_the_others() {
  runtimes[0].threads = pool_size = 20;
  std::atomic<int32_t> seen{3};
  for (const int32_t expected : {6, 12, 24, 40}) {
    pool_size = expected < 20 ? expected : 20;
    CHECK(forward(runtimes[0], seen) == nullptr);
    CHECK(told == expected);
  }
}

void each_keeps_to_its_own() {
  pool_size = 2;
  std::atomic<int32_t> seen[2] = {};
  for (const int first : {0, 1}) {
    for (Runtime& runtime : runtimes) runtime = {runtime.api, 2, 0, false, {}};
    runtimes[first].failing = true;
    OrtStatus* status = forward(runtimes[first], seen[first]);
    CHECK(runtimes[first].statuses.count(status) == 1);
    CHECK(runtimes[first].calls == 1 && runtimes[1 - first].calls == 0);
    runtimes[first].api.ReleaseStatus(status);
    // Where both fail, the pool's is handed on and the kernel's is released.
    result = gsdd::Status::kUnknownIsa;
    status = forward(runtimes[first], seen[first]);
    CHECK(runtimes[first].statuses == std::set<OrtStatus*>{status});
    CHECK(*reinterpret_cast<std::string*>(status) == "the pool is gone");
    runtimes[first].api.ReleaseStatus(status);
    result = gsdd::Status::kOk;
    CHECK(forward(runtimes[1 - first], seen[1 - first]) == nullptr);
    CHECK(runtimes[1 - first].calls == 1);
  }
}

}  // namespace

namespace gsdd {

Status splat_cpu(const SplatParams&, const ParallelFor& parallel) { return render(parallel); }
Status splat_backward_cpu(const SplatGradParams&, const ParallelFor& parallel) { return render(parallel); }
const char* message(Status) { return "refused"; }

}  // namespace gsdd

int main() {
  fill<0>();
  fill<1>();
  for (const size_t threads : {1, 2, 5, 40}) is_cut_for(threads);
  finds_the_others();
  each_keeps_to_its_own();
  std::puts("the pool is the session's");
}
