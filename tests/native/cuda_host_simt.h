// Runs a kernel's source on the CPU: the primitives of plugins/splat/cuda/simt.h, with a fibre for each thread of a
// block. A fibre runs until it meets a barrier or a warp exchange, and waits there for the others, so the order in
// which threads run is free: run_grid takes a seed for it. What it catches that reading does not: a barrier that part
// of a block misses, lanes of a warp at different exchanges, results that depend on the order of threads (a missing
// barrier), and, built with sanitizers, any access out of bounds.
#pragma once

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define GSDD_DEVICE inline

#if defined(__x86_64__)
// Saves the registers that a call preserves, leaves the stack pointer at *from, and goes on where `to` was left.
// swapcontext does this too, with two system calls a switch: a hundred times as long.
extern "C" void gsdd_switch_stack(void** from, void* to);
asm(R"(
.text
.weak gsdd_switch_stack
.type gsdd_switch_stack, @function
gsdd_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size gsdd_switch_stack, .-gsdd_switch_stack
)");
#endif

namespace gsdd::simt {

struct alignas(16) Float4 {
  float x, y, z, w;
};

namespace host {

constexpr int kLanes = 32;
constexpr std::size_t kStackBytes = 96 * 1024;

// What a fibre waits at. Lanes of one warp must be at the same kind at once.
enum class Wait { kNone, kBlock, kBallot, kShuffle, kDone };

// A stopped thread of execution with a stack of its own.
#if defined(__x86_64__)
struct Context {
  void* stack_pointer = nullptr;

  void start(char* stack, std::size_t bytes, void (*entry)()) {
    // The stack as gsdd_switch_stack leaves it: six registers and the address to return to, aligned as by a call.
    auto top = reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15};
    auto* words = reinterpret_cast<void**>(top) - 8;
    std::fill(words, words + 8, nullptr);
    words[6] = reinterpret_cast<void*>(entry);
    stack_pointer = words;
  }

  static void change(Context* from, Context* to) { gsdd_switch_stack(&from->stack_pointer, to->stack_pointer); }
};
#else
struct Context {
  ucontext_t context;

  void start(char* stack, std::size_t bytes, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }

  static void change(Context* from, Context* to) { swapcontext(&from->context, &to->context); }
};
#endif

struct Fibre {
  Context context;
  std::unique_ptr<char[]> memory;
  char* stack = nullptr;
  Wait wait = Wait::kNone;
};

struct Warp {
  Wait kind = Wait::kNone;
  int arrived = 0, parity = 0;
  uint32_t slots[2][kLanes] = {};
};

struct Machine {
  std::vector<Fibre> fibres;
  std::vector<Warp> warps;
  std::vector<Float4> shared;
  Context scheduler;
  std::function<void()> kernel;
  unsigned block = 0;
  int current = 0, threads = 0, at_barrier = 0;
};

inline Machine* machine = nullptr;

[[noreturn]] inline void fail(const char* why) {
  std::fprintf(stderr, "cuda_host_simt: block %u, thread %d: %s\n", machine->block, machine->current, why);
  std::abort();
}

inline void switch_to(Context* from, Context* to, [[maybe_unused]] const void* stack,
                      [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack, bytes);
  Context::change(from, to);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  Context::change(from, to);
#endif
}

inline const void* scheduler_stack = nullptr;
inline std::size_t scheduler_bytes = 0;

// Back to the scheduler until whatever `wait` stands for has happened.
inline void pause(Wait wait) {
  Fibre& fibre = machine->fibres[static_cast<std::size_t>(machine->current)];
  fibre.wait = wait;
  switch_to(&fibre.context, &machine->scheduler, scheduler_stack, scheduler_bytes);
}

inline void enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_bytes);
#endif
  machine->kernel();
  pause(Wait::kDone);
}

// Publishes `mine`, waits for the warp, and returns all lanes' values.
inline const uint32_t* exchange(uint32_t mine, Wait kind) {
  Machine& m = *machine;
  Warp& warp = m.warps[static_cast<std::size_t>(m.current / kLanes)];
  if (warp.arrived > 0 && warp.kind != kind) fail("lanes of one warp are at different exchanges");
  warp.kind = kind;
  const int parity = warp.parity, lane = m.current % kLanes;
  warp.slots[parity][lane] = mine;
  if (++warp.arrived < kLanes) {
    pause(kind);
  } else {
    warp.arrived = 0;
    warp.parity ^= 1;  // the slower lanes still read the old slots while the faster ones write new values
    const int first = m.current - lane;
    for (int i = first; i < first + kLanes; ++i) m.fibres[static_cast<std::size_t>(i)].wait = Wait::kNone;
  }
  return warp.slots[parity];
}

inline void run_block(Machine& m, std::mt19937& random, int order) {
  m.at_barrier = 0;
  for (Warp& warp : m.warps) warp.arrived = 0;
  // Shared memory starts as garbage: NaNs.
  std::memset(m.shared.data(), 0xff, m.shared.size() * sizeof(Float4));
  for (Fibre& fibre : m.fibres) {
    fibre.wait = Wait::kNone;
    fibre.context.start(fibre.stack, kStackBytes, &enter);
  }
  std::vector<int> turn(static_cast<std::size_t>(m.threads));
  std::iota(turn.begin(), turn.end(), 0);
  if (order == 1) std::reverse(turn.begin(), turn.end());
  int done = 0;
  while (done < m.threads) {
    if (order > 1) std::shuffle(turn.begin(), turn.end(), random);
    bool moved = false;
    for (const int thread : turn) {
      Fibre& fibre = m.fibres[static_cast<std::size_t>(thread)];
      if (fibre.wait != Wait::kNone) continue;
      moved = true;
      m.current = thread;
      switch_to(&m.scheduler, &fibre.context, fibre.stack, kStackBytes);
      if (fibre.wait == Wait::kDone) ++done;
    }
    if (!moved) fail("part of the block, or of a warp, never reached where the rest waits");
  }
}

// Runs `kernel` for every thread of every block. order: 0 ascending, 1 descending, else shuffled by this seed.
inline void run_grid(int64_t blocks, int threads, int shared_bytes, int order, std::function<void()> kernel) {
  if (threads % kLanes != 0) {
    std::fprintf(stderr, "cuda_host_simt: %d threads are no whole warps\n", threads);
    std::abort();
  }
  Machine m;
  m.threads = threads;
  m.kernel = std::move(kernel);
  m.fibres.resize(static_cast<std::size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    Fibre& fibre = m.fibres[static_cast<std::size_t>(i)];
    fibre.memory = std::make_unique<char[]>(kStackBytes + 4096);
    // Stacks a multiple of 4096 apart would share their cache sets.
    fibre.stack = fibre.memory.get() + (i * 192) % 4096;
  }
  m.warps.resize(static_cast<std::size_t>(threads / kLanes));
  m.shared.resize((static_cast<std::size_t>(shared_bytes) + sizeof(Float4) - 1) / sizeof(Float4));
  machine = &m;
  std::mt19937 random(static_cast<unsigned>(order));
  for (int64_t block = 0; block < blocks; ++block) {
    m.block = static_cast<unsigned>(block);
    run_block(m, random, order);
  }
  machine = nullptr;
}

}  // namespace host

inline unsigned thread_index() { return static_cast<unsigned>(host::machine->current); }
inline unsigned thread_count() { return static_cast<unsigned>(host::machine->threads); }
inline unsigned block_index() { return host::machine->block; }
inline unsigned forgotten(unsigned number) { return number; }
inline Float4* shared_memory() { return host::machine->shared.data(); }

inline void sync_block() {
  host::Machine& m = *host::machine;
  if (++m.at_barrier < m.threads) {
    host::pause(host::Wait::kBlock);
    return;
  }
  m.at_barrier = 0;
  for (host::Fibre& fibre : m.fibres) {
    if (fibre.wait != host::Wait::kBlock && &fibre != &m.fibres[static_cast<std::size_t>(m.current)]) {
      host::fail("a barrier was counted full while a thread was elsewhere");
    }
    fibre.wait = host::Wait::kNone;
  }
}

inline unsigned ballot(bool predicate) {
  const uint32_t* all = host::exchange(predicate ? 1 : 0, host::Wait::kBallot);
  unsigned bits = 0;
  for (int lane = 0; lane < host::kLanes; ++lane) bits |= all[lane] << lane;
  return bits;
}

inline int own_lane() { return host::machine->current % host::kLanes; }

inline int shuffle(int value, int lane) {
  const uint32_t* all = host::exchange(std::bit_cast<uint32_t>(value), host::Wait::kShuffle);
  return std::bit_cast<int>(all[lane & (host::kLanes - 1)]);
}

inline int shuffle_up(int value, int distance) {
  const uint32_t* all = host::exchange(std::bit_cast<uint32_t>(value), host::Wait::kShuffle);
  const int lane = own_lane();
  return lane >= distance ? std::bit_cast<int>(all[lane - distance]) : value;
}

inline float shuffle_xor(float value, int mask) {
  const uint32_t* all = host::exchange(std::bit_cast<uint32_t>(value), host::Wait::kShuffle);
  return std::bit_cast<float>(all[own_lane() ^ mask]);
}

inline int lowest_bit(unsigned bits) { return std::countr_zero(bits); }
inline int count_bits(unsigned bits) { return std::popcount(bits); }
inline float as_float(int bits) { return std::bit_cast<float>(bits); }
inline int as_int(float value) { return std::bit_cast<int>(value); }

// The device's is within 2 ulp of this one, and flushes to zero.
inline float exp2_fast(float x) {
  const float result = std::exp2(x);
  return result < 0x1p-126f ? 0.0f : result;
}

inline float load(const float* address) { return *address; }
inline uint16_t load(const uint16_t* address) { return *address; }

inline Float4 load4(const float* address) {
  if (reinterpret_cast<uintptr_t>(address) % sizeof(Float4) != 0) host::fail("a vector load is not aligned");
  return {address[0], address[1], address[2], address[3]};
}

struct Words {
  unsigned x, y;
};

inline Words load4(const uint16_t* address) {
  if (reinterpret_cast<uintptr_t>(address) % 8 != 0) host::fail("a vector load is not aligned");
  return {unsigned{address[1]} << 16 | address[0], unsigned{address[3]} << 16 | address[2]};
}

inline float from_float16(uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }
inline float from_bfloat16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
inline uint16_t to_float16(float value) { return std::bit_cast<uint16_t>(static_cast<_Float16>(value)); }

inline uint16_t to_bfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline void store4(float* address, Float4 values) {
  if (reinterpret_cast<uintptr_t>(address) % sizeof(Float4) != 0) host::fail("a vector store is not aligned");
  address[0] = values.x, address[1] = values.y, address[2] = values.z, address[3] = values.w;
}

inline void store4(uint16_t* address, uint16_t a, uint16_t b, uint16_t c, uint16_t d) {
  if (reinterpret_cast<uintptr_t>(address) % 8 != 0) host::fail("a vector store is not aligned");
  address[0] = a, address[1] = b, address[2] = c, address[3] = d;
}

}  // namespace gsdd::simt
