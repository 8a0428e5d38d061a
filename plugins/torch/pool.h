// The host's pool, through the stable ABI.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "../splat/splat.h"

namespace gsdd::torch_door {

inline gsdd::ParallelFor torch_pool() {
  gsdd::ParallelFor parallel;
  parallel.run = [](void*, int64_t count, int64_t grain, gsdd::ParallelFor::Body body, void* context) {
    torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) { body(context, begin, end); });
  };
  parallel.threads = static_cast<int32_t>(torch::stable::get_num_threads());
  return parallel;
}

}  // namespace gsdd::torch_door
