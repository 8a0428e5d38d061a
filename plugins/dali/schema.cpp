// What the operator is called in a pipeline, and which DALI it was built for.
#include <dali/pipeline/operator/op_schema.h>

#include "../splat/constants.h"

// Read from the file before it is loaded (gsdd_runtime/loading/dali.py): in another DALI it must not be.
extern "C" __attribute__((visibility("default"), used)) const char gsdd_dali_version[] =
    "GSDD_DALI_VERSION=" GSDD_DALI_VERSION;

namespace dali {

DALI_SCHEMA(gsdd__GaussianSplat)  // NOLINT(bugprone-reserved-identifier): DALI's own way to name a module
    .DocStr(R"(Draws images from 2D Gaussians.

A sample is ``[count, 6 + channels]``: x, y (-1 to 1 over the image), l11, l21, l22 (native pixels), the colours, the
opacity, FLOAT or FLOAT16. Samples of a batch may differ in count. The image is ``[channels, height, width]``.)")
    .NumInput(1)
    .NumOutput(1)
    .InputDox(0, "gaussians", "TensorList of FLOAT or FLOAT16", "Gaussians, ``[count, 6 + channels]`` a sample.")
    .AddArg("height", "Height of the images, pixels.", DALI_INT32)
    .AddArg("width", "Width of the images, pixels.", DALI_INT32)
    .AddArg("native_height", "Height that the Gaussians are measured in, pixels.", DALI_INT32)
    .AddArg("native_width", "Width that the Gaussians are measured in, pixels.", DALI_INT32)
    .AddOptionalArg("supersample", "Samples per pixel and axis.", gsdd::kDefaultSupersample)
    .AddOptionalTypeArg("dtype", "Of the images: FLOAT or FLOAT16.", DALI_FLOAT)
    .AddOptionalArg("channels_last", "Images are ``[height, width, channels]``, which DALI's other operators take.",
                    false);

}  // namespace dali
