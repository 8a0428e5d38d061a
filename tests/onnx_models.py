"""ONNX models of one ``GaussianSplat`` node over given Gaussians, for the doors and the tests of the operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper
from torch import Tensor

from gsdd_runtime.decoders.onnxruntime import session_options
from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.export.gradient_function import gradient_function
from gsdd_runtime.export.inlining import inline_splats
from gsdd_runtime.export.onnx import IR_VERSION, OPSET
from gsdd_runtime.export.splat_function import splat_function
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.native import plugin_library

# Run by `python -c` with a model and a number of images: how much the process has grown, and the size of the images.
PEAK = """
import sys, numpy as np, onnxruntime as ort

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

options = ort.SessionOptions()
options.intra_op_num_threads = 2
running = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
indices = np.arange(int(sys.argv[2]))
before = peak()
images = running.run(None, {"indices": indices})[0]
print(peak() - before, images.nbytes)
"""


def splat_model(
    channels: int, height: int, width: int, native_size: tuple[int, int] | None, supersample: int,
    /, *, gaussian_type: int = TensorProto.FLOAT, image_type: int = TensorProto.FLOAT, function: bool = True,
    count: int | str = "count", **attributes: object,
) -> onnx.ModelProto:  # fmt: skip
    """``gaussians [batch, count, 6 + channels]`` to ``images``; without ``function`` only the library can run it."""
    native_height, native_width = native_size or (height, width)
    given = {
        "height": height, "width": width, "native_height": native_height, "native_width": native_width,
        "supersample": supersample, "dtype": image_type, **attributes,
    }  # fmt: skip
    node = helper.make_node(contract.FORWARD, ["gaussians"], ["images"], domain=contract.DOMAIN, **given)
    graph = helper.make_graph(
        [node],
        "splat",
        [helper.make_tensor_value_info("gaussians", gaussian_type, ["batch", count, 6 + channels])],
        [helper.make_tensor_value_info("images", image_type, ["batch", channels, height, width])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.VERSION)]
    functions = [splat_function(OPSET)] if function else []
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=IR_VERSION)


def gradient_model(
    channels: int, native_size: tuple[int, int], supersample: int, *, gaussian_type: int = TensorProto.FLOAT,
    function: bool = False, **attributes: object,
) -> onnx.ModelProto:  # fmt: skip
    """``grad_images`` and ``gaussians`` to ``grad_gaussians``, all float32 but the Gaussians; see ``splat_model``."""
    given = {
        "native_height": native_size[0], "native_width": native_size[1], "supersample": supersample, **attributes,
    }  # fmt: skip
    inputs = ["grad_images", "gaussians"]
    node = helper.make_node(contract.BACKWARD, inputs, ["grad_gaussians"], domain=contract.DOMAIN, **given)
    graph = helper.make_graph(
        [node],
        "splat_gradient",
        [
            helper.make_tensor_value_info("grad_images", TensorProto.FLOAT, ["batch", channels, "height", "width"]),
            helper.make_tensor_value_info("gaussians", gaussian_type, ["batch", "count", 6 + channels]),
        ],
        [helper.make_tensor_value_info("grad_gaussians", TensorProto.FLOAT, ["batch", "count", 6 + channels])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.VERSION)]
    functions = [gradient_function(OPSET)] if function else []
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=IR_VERSION)


def library_ways() -> list[bool]:
    """Whether the library is registered: both where it is built."""
    try:
        plugin_library("onnxruntime")
    except LibraryNotBuiltError:
        return [False]
    return [False, True]


def session(model: onnx.ModelProto, *, library: bool, threads: int = 2) -> ort.InferenceSession:
    options = session_options(library=library, threads=threads)
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def render_with_onnxruntime(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int,
    *, library: bool,
) -> Tensor:  # fmt: skip
    model = splat_model(gaussians.shape[2] - 6, height, width, native_size, supersample, function=not library)
    running = session(model, library=library)
    return torch.from_numpy(running.run(None, {"gaussians": gaussians.contiguous().numpy()})[0])


def render_inlined(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    """By standard operators alone."""
    model = splat_model(gaussians.shape[2] - 6, height, width, native_size, supersample, count=gaussians.shape[1])
    running = session(inline_splats(model), library=False)
    return torch.from_numpy(running.run(None, {"gaussians": gaussians.contiguous().numpy()})[0])


def gradient_with_onnxruntime(
    grad_images: Tensor, gaussians: Tensor, native_size: tuple[int, int] | None, supersample: int, *, library: bool
) -> Tensor:
    height, width = grad_images.shape[2:]
    size = native_size or (height, width)
    model = gradient_model(gaussians.shape[2] - 6, size, supersample, function=not library)
    running = session(model, library=library)
    fed = {"grad_images": grad_images.contiguous().numpy(), "gaussians": gaussians.contiguous().numpy()}
    return torch.from_numpy(running.run(None, fed)[0])


def render_with_reference_evaluator(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(splat_model(gaussians.shape[2] - 6, height, width, native_size, supersample))
    # Far off the canvas a number leaves float32 on purpose; numpy would warn.
    with np.errstate(over="ignore", invalid="ignore"):
        images = evaluator.run(None, {"gaussians": gaussians.contiguous().numpy()})[0]
    return torch.from_numpy(np.ascontiguousarray(images))
