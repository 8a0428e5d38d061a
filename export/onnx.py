"""A distilled set as an ONNX model: ``indices`` in, ``images`` and ``labels`` out.

The parameters are bfloat16 initialisers, the splatting is one node ``gsdd::GaussianSplat``. The model carries a
function of that name in standard operators, by which onnxruntime runs it; with our library registered it takes the
native kernel instead. For runtimes that read no functions, ``inline`` puts standard operators in its place.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.export.description import (
    METADATA_KEY,
    check_gaussians,
    check_preparation,
    check_size,
    describe,
    written,
)
from gsdd_runtime.sets.distilled_set import check_distilled_set
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.gaussians import DEFAULT_SUPERSAMPLE
from gsdd_runtime.versions import VERSION

if TYPE_CHECKING:
    import onnx

    from gsdd_runtime.sets.distilled_set import DistilledSet

# What torch.onnx.export of torch 2.13 writes: models can be merged only where both are equal. It writes this IR version
# with every opset, and onnxruntime reads it from 1.18 on.
IR_VERSION = 10
OPSET = 20
# From the first that has the operators of the functions, to the last that onnxruntime 1.31 runs.
OPSETS = range(18, 27)

# Of every name that is no input or output, so that it is none of another model's with which this one is merged.
PREFIX = "gsdd_"

# A protobuf message ends at 2 GiB; the rest is for the graph and the description.
_MAX_PAYLOAD = (1 << 31) - (1 << 24)


def require_onnx() -> Any:
    """The modules ``onnx`` and ``onnxscript``, checked; returns ``onnx``.

    Raises:
        GsddError: one of them is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise GsddError(f"exporting to ONNX needs {error.name}: pip install 'gsdd-rt[export]'") from error
    return onnx


def export_onnx(
    distilled_set: DistilledSet,
    out: str | os.PathLike[str],
    *,
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    opset: int = OPSET,
    inline: bool = False,
) -> Path:
    """Writes the decoder of a set, whole or not at all; the file is as large as the set plus a few kilobytes.

    Input: ``indices`` int64 ``[batch]``, dynamic, 0 included; from -M to M - 1, the negative ones counting from the end
    as ONNX's Gather has it; onnxruntime's CPU provider raises on others. Outputs: ``images`` ``[batch, C, H, W]``, and
    ``labels``: int64 ``[batch]``, or float16 ``[batch, classes]`` where they are soft.

    Args:
        distilled_set: of Gaussians; a set of pixels has nothing to decode.
        out: the file.
        normalize: images come out as a network takes them: ``(image - mean) / std``, or whitened where the set has a
            ``zca``, whose matrix is then part of the file.
        size: ``(height, width)`` of the images; the set's native size if left out.
        dtype: of the images: float32, float16 or bfloat16.
        opset: of the standard domain, 18 to 26. Models of one opset can be merged.
        inline: standard operators in the place of our operator and its function, for runtimes that read no functions.

    Raises:
        InputError: a set of pixels, a size, dtype or opset out of range, no mean to normalise with, a set of more than
            2 GB, a file that cannot be written.
        GsddError: onnx or onnxscript is not installed.
    """
    onnx = require_onnx()
    model = decoder_model(distilled_set, normalize=normalize, size=size, dtype=dtype, opset=opset, inline=inline)
    target = Path(out)
    # By a file object: onnx would otherwise choose the format by the temporary name's suffix.
    with written(target, distilled_set, model.ByteSize()) as temporary, open(temporary, "wb") as file:
        onnx.save_model(model, file)
    return target


def decoder_model(
    distilled_set: DistilledSet,
    *,
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    opset: int = OPSET,
    inline: bool = False,
) -> onnx.ModelProto:
    """The model that :func:`export_onnx` writes, checked by onnx with full shape inference."""
    onnx = require_onnx()
    from gsdd_runtime.export.graph import Graph
    from gsdd_runtime.export.inlining import inline_splats
    from gsdd_runtime.export.preparation import prepare
    from gsdd_runtime.export.splat_function import splat_function

    check_opset(opset)
    check_distilled_set(distilled_set)
    check_payload(exported_bytes(distilled_set, normalize), "the set")
    gaussians = check_gaussians(distilled_set)
    height, width = check_size(distilled_set, size)
    image_type = _image_type(dtype)
    preparation = check_preparation(distilled_set, normalize, height, width)
    labels = distilled_set.labels
    channels = distilled_set.channels
    helper, types = onnx.helper, onnx.TensorProto

    parameters, all_labels, chosen = PREFIX + "parameters", PREFIX + "labels", PREFIX + "gaussians"
    initializers = [tensor(parameters, gaussians), tensor(all_labels, labels)]
    nodes = [
        helper.make_node("Gather", [parameters, "indices"], [chosen], axis=0),
        helper.make_node("Gather", [all_labels, "indices"], ["labels"], axis=0),
    ]
    between = []
    if preparation is None:
        nodes.append(splat_node(chosen, "images", distilled_set, height, width, image_type))
    else:
        # Prepared in float32, and rounded once. Older versions of onnxruntime want the type of a custom operator's
        # output declared: they derive none from an attribute.
        pixels, drawn = PREFIX + "pixels", Graph()
        between = [helper.make_tensor_value_info(pixels, types.FLOAT, ["batch", channels, height, width])]
        drawn.nodes.append(splat_node(chosen, pixels, distilled_set, height, width, types.FLOAT))
        drawn.op("Cast", prepare(drawn, pixels, preparation), name="images", to=image_type)
        nodes += drawn.nodes
        initializers += drawn.initializers
    label_type = types.INT64 if labels.dim() == 1 else types.FLOAT16
    graph = helper.make_graph(
        nodes,
        "gsdd_decoder",
        [helper.make_tensor_value_info("indices", types.INT64, ["batch"])],
        [
            helper.make_tensor_value_info("images", image_type, ["batch", channels, height, width]),
            helper.make_tensor_value_info("labels", label_type, ["batch", *labels.shape[1:]]),
        ],
        initializer=initializers,
        value_info=between,
        doc_string="Decodes a distilled set: images and labels by index.",
    )
    model = finished_model(graph, [splat_function(opset)], describe(distilled_set, normalize, height, width), opset)
    return inline_splats(model) if inline else model


def finished_model(
    graph: onnx.GraphProto, functions: list[onnx.FunctionProto], description: dict[str, Any], opset: int
) -> onnx.ModelProto:
    """A model of the graph and the functions of our domain, with its description, checked."""
    onnx = require_onnx()
    helper = onnx.helper
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(contract.DOMAIN, contract.VERSION)],
        functions=functions,
        ir_version=IR_VERSION,
        producer_name="gsdd-rt",
        producer_version=VERSION,
    )
    helper.set_model_props(model, {METADATA_KEY: json.dumps(description, sort_keys=True)})
    onnx.checker.check_model(model, full_check=True)
    return model


def splat_node(
    gaussians: str, images: str, distilled_set: DistilledSet, height: int, width: int, image_type: int
) -> onnx.NodeProto:
    """One ``GaussianSplat`` node with all of its attributes, those that TensorRT looks a plugin up by included."""
    return require_onnx().helper.make_node(
        contract.FORWARD,
        [gaussians],
        [images],
        name=PREFIX + "decode",
        domain=contract.DOMAIN,
        height=height,
        width=width,
        native_height=distilled_set.height,
        native_width=distilled_set.width,
        supersample=DEFAULT_SUPERSAMPLE,
        dtype=image_type,
        **contract.read()["node_attributes"],
    )


def gradient_node(grad_images: str, gaussians: str, grad_gaussians: str, distilled_set: DistilledSet) -> onnx.NodeProto:
    """One ``GaussianSplatGrad`` node, the counterpart of :func:`splat_node`."""
    return require_onnx().helper.make_node(
        contract.BACKWARD,
        [grad_images, gaussians],
        [grad_gaussians],
        name=PREFIX + "differentiate",
        domain=contract.DOMAIN,
        native_height=distilled_set.height,
        native_width=distilled_set.width,
        supersample=DEFAULT_SUPERSAMPLE,
        **contract.read()["node_attributes"],
    )


def tensor(name: str, value: Tensor) -> onnx.TensorProto:
    """A tensor of any dtype as an initialiser, bit for bit."""
    onnx = require_onnx()
    codes = {
        torch.float32: onnx.TensorProto.FLOAT,
        torch.float16: onnx.TensorProto.FLOAT16,
        torch.bfloat16: onnx.TensorProto.BFLOAT16,
        torch.int64: onnx.TensorProto.INT64,
    }
    stored = value.detach().cpu().contiguous()
    raw = stored.view(-1).view(torch.uint8).numpy().tobytes() if stored.numel() else b""
    return onnx.helper.make_tensor(name, codes[value.dtype], list(value.shape), raw, raw=True)


def exported_bytes(distilled_set: DistilledSet, normalize: bool) -> int:
    """Bytes of the set's tensors that go into a file: of a ``zca`` where its images come out whitened."""
    unused = 0 if distilled_set.zca is None or normalize else distilled_set.zca.nbytes
    return distilled_set.nbytes - unused


def our_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of our operators, those in branches and loops included."""
    found = []
    waiting = list(model.graph.node)
    while waiting:
        node = waiting.pop(0)
        if node.domain == contract.DOMAIN and node.op_type in contract.read()["ops"]:
            found.append(node)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)
    return found


def check_payload(nbytes: int, what: str) -> None:
    """Refuses what one ONNX file cannot hold, before any of it is copied."""
    if nbytes > _MAX_PAYLOAD:
        raise InputError(f"{what} takes {nbytes / 1e9:.1f} GB and an ONNX file holds at most 2: export parts of it")


def check_opset(opset: int) -> int:
    """``opset``, if models are written in it.

    Raises:
        InputError: they are not.
    """
    if opset not in OPSETS:
        raise InputError(f"opset must be {OPSETS[0]} to {OPSETS[-1]}, got {opset!r}")
    return opset


def _image_type(dtype: torch.dtype) -> int:
    name = str(dtype).removeprefix("torch.")
    types = contract.read()["ops"][contract.FORWARD]["attributes"]["dtype"]["values"]
    if name not in types:
        raise InputError(f"images can be {', '.join(types)}, not {name}")
    return types[name]
