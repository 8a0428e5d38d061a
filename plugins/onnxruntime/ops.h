// The two operators, one variant for each provider and type of the Gaussians.
#pragma once

#include "launch.h"

namespace gsdd::ort {

inline constexpr const char* kDomain = "gsdd";

struct Operator : OrtCustomOp {
  const OrtApi* api;
  const Launcher* launcher;
  ONNXTensorElementDataType gaussian_type;
};

void make_splat(Operator* op, const OrtApi& api, const Launcher& launcher, ONNXTensorElementDataType gaussian_type);
void make_splat_gradient(Operator* op, const OrtApi& api, const Launcher& launcher,
                         ONNXTensorElementDataType gaussian_type);

}  // namespace gsdd::ort
