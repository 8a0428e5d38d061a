"""``gsdd::GaussianSplat`` as nodes of a graph: the render specification in operators that every runtime has.

Sizes are those of one node, so that little is left to compute of them, and nothing is nested: Gaussians are cut into
parts, one after the other in the graph. All of it is float32, which is what some runtimes make of anything wider. So
each formula is written to neither cancel nor leave the range of float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gsdd_runtime.export.graph import Graph
from gsdd_runtime.export.onnx import require_onnx
from gsdd_runtime.splatting.gaussians import (
    ALPHA_LIMIT,
    ALPHA_THRESHOLD,
    CHOLESKY_BIAS,
    COLOR,
    PIXEL_VARIANCE,
    SHAPE_PARAMETERS,
)

if TYPE_CHECKING:
    import onnx

# Just below 1/255, for an operator that keeps what lies strictly above.
BELOW_THRESHOLD = ALPHA_THRESHOLD * (1 - 1e-7)
# Far below any logarithm of an opacity.
NEVER = -1e30

# Samples (Gaussians x sample points) that a part has of each image where all images are computed at once.
SAMPLES_OF_EACH = 1 << 16
# And where they are computed one at a time, by a Scan.
SAMPLES_OF_ONE = 1 << 18
# Parts that a graph may have; a runtime takes time to load each.
MOST_PARTS = 64

_LARGEST = 3.4028235e38
# Beyond these nothing is drawn on any canvas; below their squares a float32 does not overflow.
_FARTHEST = 1e30
_LONGEST = 1e33
_STEEPEST = 1e15


@dataclass(frozen=True)
class Geometry:
    """The sizes of one node: of its Gaussians, ``[batch, count, 6 + channels]``, and its attributes."""

    count: int
    channels: int
    height: int
    width: int
    native_height: int
    native_width: int
    supersample: int
    dtype: int

    @property
    def points(self) -> int:
        """Sample points of an image."""
        return self.height * self.width * self.supersample**2

    @property
    def scanned(self) -> bool:
        """Whether images are too large to be computed all at once."""
        return self.count * self.points > SAMPLES_OF_EACH * MOST_PARTS


class _Shape(NamedTuple):
    """Of each Gaussian, ``[batch, count, 1]``: sigma is ``(u dx + v dy)^2 + (r dy)^2``; and the colours, ``[batch,
    channels, count]``."""

    u: str
    v: str
    r: str
    center_x: str
    center_y: str
    strength: str
    colors: str


def splat_nodes(gaussians: str, images: str, geometry: Geometry, prefix: str) -> Graph:
    """Nodes and constants that compute ``images`` of ``gaussians``, for a graph of opset 18 or later."""
    graph = Graph(prefix)
    if geometry.scanned:
        rendered = _scan(graph, gaussians, geometry)
    else:
        rendered = _render(graph, gaussians, geometry, SAMPLES_OF_EACH)
    graph.op("Cast", rendered, to=geometry.dtype, name=images)
    return graph


def _scan(graph: Graph, gaussians: str, geometry: Geometry) -> str:
    """One image after the other. Some runtimes scan nothing wrongly: then one empty image is drawn and dropped."""
    helper, types = require_onnx().helper, require_onnx().TensorProto
    batch = graph.op("Shape", gaussians, start=0, end=1)
    missing = graph.op("Sub", graph.integers(1), graph.op("Min", batch, graph.integers(1)))
    none = graph.integers(0, 0, 0)
    filling = graph.op("Concat", none, missing, graph.integers(0, 0), axis=0)
    values = graph.op("Cast", gaussians, to=types.FLOAT)
    body = Graph(graph.prefix + "image_")
    one = body.fresh("gaussians")
    rendered = _render(body, body.op("Unsqueeze", one, body.integers(0)), geometry, SAMPLES_OF_ONE)
    image = body.op("Squeeze", rendered, body.integers(0))
    sizes = [geometry.channels, geometry.height, geometry.width]
    of_one = [geometry.count, SHAPE_PARAMETERS + geometry.channels]
    made = helper.make_graph(
        body.nodes,
        graph.prefix + "image",
        [helper.make_tensor_value_info(one, types.FLOAT, of_one)],
        [helper.make_tensor_value_info(image, types.FLOAT, sizes)],
        initializer=body.initializers,
    )
    scanned = graph.op("Scan", graph.op("Pad", values, filling), body=made, num_scan_inputs=1)
    return graph.op("Slice", scanned, graph.integers(0), batch, graph.integers(0))


def _render(graph: Graph, gaussians: str, geometry: Geometry, samples: int) -> str:
    """``[batch, channels, height, width]``: part by part, the sum over its Gaussians at all sample points."""
    if geometry.count == 0:
        batch = graph.op("Shape", gaussians, start=0, end=1)
        sizes = graph.integers(geometry.channels, geometry.height, geometry.width)
        return graph.op("ConstantOfShape", graph.op("Concat", batch, sizes, axis=0))
    shape = _shape(graph, gaussians, geometry)
    columns, rows, exponents = _lines(graph, shape, geometry)
    sizes = _parts(geometry, samples)
    parts = zip(
        graph.split(columns, sizes, 1), graph.split(rows, sizes, 1), graph.split(exponents, sizes, 1),
        graph.split(shape.colors, sizes, 2), strict=True,
    )  # fmt: skip
    added = [_part(graph, *part, points=geometry.points) for part in parts]
    # Runtimes follow either the input of a node that was written last, or its first one: so written, each adds a part
    # to the sum before it computes the next, and holds one part at a time.
    total = added[0]
    for part in added[1:]:
        total = graph.op("Add", total, part)
    s = geometry.supersample
    by_pixel = graph.op("Reshape", total, graph.integers(0, 0, geometry.height, s, geometry.width, s))
    return graph.op("ReduceMean", by_pixel, graph.integers(3, 5), keepdims=0)


def _parts(geometry: Geometry, samples: int) -> list[int]:
    """How many Gaussians each part has: as even as can be."""
    most = max(1, samples // geometry.points)
    parts = min(-(-geometry.count // most), MOST_PARTS)
    return [geometry.count // parts + (part < geometry.count % parts) for part in range(parts)]


def _part(graph: Graph, columns: str, rows: str, exponents: str, weights: str, points: int) -> str:
    """``[batch, channels, points]``. Between the first and the last node are the only tensors of a part's samples."""
    t = graph.op("Add", columns, rows)
    strengths = graph.op("Exp", graph.op("Sub", exponents, graph.op("Mul", t, t)))
    kept = graph.op("ThresholdedRelu", strengths, alpha=BELOW_THRESHOLD)
    alphas = graph.op("Min", kept, graph.number(ALPHA_LIMIT))
    return graph.op("MatMul", weights, graph.op("Reshape", alphas, graph.integers(0, 0, points)))


def _shape(graph: Graph, gaussians: str, geometry: Geometry) -> _Shape:
    values = _drawn(graph, graph.op("Cast", gaussians, to=require_onnx().TensorProto.FLOAT))
    position, factor, _, opacity = graph.split(values, (2, 3, geometry.channels, 1), -1)
    sizes = (float(geometry.width), float(geometry.height))
    halves = graph.numbers([side / 2 for side in sizes])
    center = graph.op("Mul", graph.op("Add", _within(graph, position, _FARTHEST), graph.number(1.0)), halves)
    center_x, center_y = graph.split(center, (1, 1), -1)
    scale_x, scale_y = sizes[0] / geometry.native_width, sizes[1] / geometry.native_height
    biased = graph.op("Add", _within(graph, factor, _LONGEST), graph.numbers([CHOLESKY_BIAS, 0.0, CHOLESKY_BIAS]))
    a, b, c = graph.split(graph.op("Mul", biased, graph.numbers([scale_x, scale_y, scale_y])), (1, 1, 1), -1)
    # With p the prefilter's deviation, k^2 = c^2 + p^2 and h^2 = b^2 + k^2, the determinant is a^2 k^2 + p^2 h^2.
    deviation = graph.number(math.sqrt(PIXEL_VARIANCE))
    half = graph.number(math.sqrt(0.5))
    k = _hypotenuse(graph, c, deviation)
    h = _hypotenuse(graph, b, k)
    u = graph.op("Div", half, _hypotenuse(graph, graph.op("Mul", a, graph.op("Div", k, h)), deviation))
    v = graph.op("Neg", graph.op("Div", graph.op("Mul", graph.op("Mul", u, a), graph.op("Div", b, h)), h))
    # Opacity enters as a logarithm: alpha = exp(log o - sigma).
    logarithm = graph.op("Log", graph.op("Max", opacity, graph.number(1e-37)))
    visible = graph.op("Greater", opacity, graph.number(0.0))
    strength = graph.op("Where", visible, logarithm, graph.number(NEVER))
    # Cut out of all parameters turned around: onnxruntime would fuse a Transpose of the colours alone with the
    # products, and then compute these in another order.
    turned = graph.op("Transpose", values, perm=[0, 2, 1])
    first = COLOR.start
    colors = graph.op(
        "Slice", turned, graph.integers(first), graph.integers(first + geometry.channels), graph.integers(1)
    )
    return _Shape(u, v, graph.op("Div", half, h), center_x, center_y, strength, colors)


def _drawn(graph: Graph, values: str) -> str:
    """A Gaussian with a number that is not finite draws nothing: all of its numbers become zero."""
    types = require_onnx().TensorProto
    finite = graph.op("LessOrEqual", graph.op("Abs", values), graph.number(_LARGEST))
    all_finite = graph.op("ReduceMin", graph.op("Cast", finite, to=types.FLOAT), graph.integers(-1), keepdims=1)
    return graph.op("Where", graph.op("Cast", all_finite, to=types.BOOL), values, graph.number(0.0))


def _hypotenuse(graph: Graph, one: str, other: str) -> str:
    """``sqrt(one^2 + other^2)``, with no square that overflows."""
    larger = graph.op("Max", graph.op("Abs", one), other)
    squares = []
    for side in (one, other):
        ratio = graph.op("Div", side, larger)
        squares.append(graph.op("Mul", ratio, ratio))
    return graph.op("Mul", larger, graph.op("Sqrt", graph.op("Add", *squares)))


def _lines(graph: Graph, shape: _Shape, geometry: Geometry) -> tuple[str, str, str]:
    """What depends on a Gaussian and a column, ``[batch, count, 1, columns]``, or a row, ``[batch, count, rows, 1]``:
    ``u dx``, ``v dy`` and ``log o - (r dy)^2``."""

    def points(side: int) -> str:
        return graph.numbers([(n + 0.5) / geometry.supersample for n in range(side * geometry.supersample)])

    dx = graph.op("Sub", points(geometry.width), shape.center_x)
    dy = graph.op("Sub", points(geometry.height), shape.center_y)
    columns = _within(graph, graph.op("Mul", shape.u, dx), _STEEPEST)
    rows = _within(graph, graph.op("Mul", shape.v, dy), _STEEPEST)
    q = _within(graph, graph.op("Mul", shape.r, dy), _STEEPEST)
    exponents = graph.op("Sub", shape.strength, graph.op("Mul", q, q))
    across, down = graph.integers(2), graph.integers(3)
    return (
        graph.op("Unsqueeze", columns, across),
        graph.op("Unsqueeze", rows, down),
        graph.op("Unsqueeze", exponents, down),
    )


def _within(graph: Graph, value: str, limit: float) -> str:
    return graph.op("Clip", value, graph.number(-limit), graph.number(limit))


def geometry_of(node: onnx.NodeProto, count: int, channels: int) -> Geometry:
    """The sizes of a ``GaussianSplat`` node whose Gaussians are ``[batch, count, 6 + channels]``."""
    from gsdd_runtime.splatting import contract

    helper = require_onnx().helper
    declared = contract.read()["ops"][contract.FORWARD]["attributes"]
    given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    values = {name: given.get(name, rule.get("default")) for name, rule in declared.items()}
    return Geometry(count=count, channels=channels, **values)
