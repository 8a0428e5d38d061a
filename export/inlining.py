"""Models without anything of ours in them: each ``gsdd::GaussianSplat`` becomes nodes of the standard domain.

onnx's own inliner would put the function's body there, whose nested Scans OpenVINO does not read.
"""

from __future__ import annotations

from itertools import count as count_from
from typing import TYPE_CHECKING

from gsdd_runtime.errors import InputError
from gsdd_runtime.export.onnx import PREFIX, our_nodes, require_onnx
from gsdd_runtime.export.splat_nodes import geometry_of, splat_nodes
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, SHAPE_PARAMETERS
from gsdd_runtime.wording import counted

if TYPE_CHECKING:
    import onnx


def inline_splats(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model in the standard operators alone, for runtimes that read no functions.

    Scan is in it only where an image has more than 2^22 samples (Gaussians times sample points), and never nested.

    Args:
        model: as ``export_onnx`` writes it, or with such a model merged into it; the number of Gaussians of each node
            has to be fixed.

    Raises:
        InputError: a model without our operators, with the gradient's, or with one inside a branch or a loop; Gaussians
            of a shape that is not fixed beyond the batch.
        GsddError: onnx is not installed.
    """
    onnx = require_onnx()
    found = our_nodes(model)
    if not found:
        raise InputError(f"the model has no node {contract.DOMAIN}::{contract.FORWARD}: there is nothing to inline")
    if any(node.op_type != contract.FORWARD for node in found):
        raise InputError(f"{contract.DOMAIN}::{contract.BACKWARD} cannot be inlined: only decoders are")
    if len(found) > sum(node.domain == contract.DOMAIN for node in model.graph.node):
        raise InputError(f"a {contract.DOMAIN}::{contract.FORWARD} inside a branch or a loop cannot be inlined")
    shapes = _shapes(onnx.shape_inference.infer_shapes(model))
    copy = type(model)()
    copy.CopyFrom(model)
    nodes = list(copy.graph.node)
    del copy.graph.node[:]
    prefixes = _free_prefixes(copy)
    for node in nodes:
        if node.domain != contract.DOMAIN:
            copy.graph.node.append(node)
            continue
        sizes = geometry_of(node, *_count_and_channels(node.input[0], shapes))
        graph = splat_nodes(node.input[0], node.output[0], sizes, next(prefixes))
        copy.graph.node.extend(graph.nodes)
        copy.graph.initializer.extend(graph.initializers)
    for entries, is_ours in (
        (copy.functions, lambda function: function.domain == contract.DOMAIN),
        (copy.opset_import, lambda imported: imported.domain == contract.DOMAIN),
    ):
        kept = [entry for entry in entries if not is_ours(entry)]
        del entries[:]
        entries.extend(kept)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _shapes(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """The dimensions of all values of known rank, None where they are dynamic."""
    graph = model.graph
    shapes: dict[str, list[int | None]] = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            shapes[value.name] = [d.dim_value if d.HasField("dim_value") else None for d in dims]
    return shapes


def _count_and_channels(gaussians: str, shapes: dict[str, list[int | None]]) -> tuple[int, int]:
    shape = shapes.get(gaussians, [])
    parameters = shape[2] if len(shape) == 3 else None
    if len(shape) != 3 or shape[1] is None or parameters is None:
        raise InputError(f"the Gaussians {gaussians} of the model must be [batch, count, 6 + channels], count fixed")
    channels = parameters - SHAPE_PARAMETERS
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(
            f"the Gaussians {gaussians} of the model have {counted(channels, 'channel')}: 1 to {MAX_CHANNELS} can be"
        )
    return shape[1], channels


def _free_prefixes(model: onnx.ModelProto):  # type: ignore[no-untyped-def]
    """Prefixes that begin no name of the model, one for each node."""
    graph = model.graph
    names = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer}
    for number in count_from():
        prefix = f"{PREFIX}splat{number or ''}_"
        if not any(name.startswith(prefix) for name in names):
            yield prefix
