"""The layers of a ConvNet, forward and backward, in standard ONNX operators.

Each emitter writes the forward nodes of one torch layer and returns the value, and a function that writes its backward
nodes: from the gradient of the output to that of the input, with the gradients of the parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.export.graph import Graph

Gradients = dict[str, str]
# Takes the gradient of the output and whether the input's is wanted; returns that (or "") and the parameters'.
Backward = Callable[[str, bool], tuple[str, Gradients]]


def emit(graph: Graph, layer: nn.Module, name: str, x: str, size: tuple[int, int]) -> tuple[str, Backward]:
    """Forward nodes of ``layer``, whose parameters are the values ``name.weight`` and ``name.bias``.

    Args:
        size: height and width of ``x``.

    Raises:
        InputError: a layer that has no exact backward here.
    """
    if isinstance(layer, nn.Conv2d) and _plain(layer):
        return _convolution(graph, layer, name, x)
    if isinstance(layer, nn.GroupNorm) and layer.num_groups == layer.num_channels and layer.affine:
        return _instance_norm(graph, layer, name, x)
    if isinstance(layer, nn.ReLU):
        return _relu(graph, x)
    if isinstance(layer, nn.AvgPool2d) and layer.kernel_size == 2 and layer.stride == 2 and layer.padding == 0:
        return _average_pool(graph, x, size)
    if isinstance(layer, nn.Linear):
        return linear(graph, name, x)
    raise InputError(f"a training step has no {layer}: choose a ConvNet, such as convnet3")


def _plain(layer: nn.Conv2d) -> bool:
    return layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1 and layer.bias is not None


def _convolution(graph: Graph, layer: nn.Conv2d, name: str, x: str) -> tuple[str, Backward]:
    pads = [int(side) for side in layer.padding] * 2
    weight, bias = f"{name}.weight", f"{name}.bias"
    y = graph.op("Conv", x, weight, bias, pads=pads)

    def backward(grad: str, wanted: bool) -> tuple[str, Gradients]:
        # With a stride of 1 the gradient of the weights is a convolution too: over images, with batch and channels
        # exchanged.
        exchanged = [graph.op("Transpose", value, perm=[1, 0, 2, 3]) for value in (x, grad)]
        per_input = graph.op("Conv", *exchanged, pads=pads)
        gradients = {
            weight: graph.op("Transpose", per_input, perm=[1, 0, 2, 3]),
            bias: graph.sum(grad, (0, 2, 3)),
        }
        return (graph.op("ConvTranspose", grad, weight, pads=pads) if wanted else ""), gradients

    return y, backward


def _instance_norm(graph: Graph, layer: nn.GroupNorm, name: str, x: str) -> tuple[str, Backward]:
    weight, bias = f"{name}.weight", f"{name}.bias"
    axes = (2, 3)
    centered = graph.op("Sub", x, graph.mean(x, axes))
    variance = graph.mean(graph.op("Mul", centered, centered), axes)
    deviation = graph.op("Sqrt", graph.op("Add", variance, graph.number(layer.eps)))
    normal = graph.op("Div", centered, deviation)
    scale, shift = (graph.op("Unsqueeze", value, graph.integers(1, 2)) for value in (weight, bias))
    y = graph.op("Add", graph.op("Mul", normal, scale), shift)

    def backward(grad: str, wanted: bool) -> tuple[str, Gradients]:
        gradients = {weight: graph.sum(graph.op("Mul", grad, normal), (0, 2, 3)), bias: graph.sum(grad, (0, 2, 3))}
        if not wanted:
            return "", gradients
        scaled = graph.op("Mul", grad, scale)
        along = graph.mean(graph.op("Mul", scaled, normal), axes)
        free = graph.op("Sub", scaled, graph.mean(scaled, axes))
        free = graph.op("Sub", free, graph.op("Mul", normal, along))
        return graph.op("Div", free, deviation), gradients

    return y, backward


def _relu(graph: Graph, x: str) -> tuple[str, Backward]:
    y = graph.op("Relu", x)

    def backward(grad: str, wanted: bool) -> tuple[str, Gradients]:
        passed = graph.op("Greater", y, graph.number(0.0))
        return graph.op("Where", passed, grad, graph.number(0.0)), {}

    return y, backward


def _average_pool(graph: Graph, x: str, size: tuple[int, int]) -> tuple[str, Backward]:
    y = graph.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])

    def backward(grad: str, wanted: bool) -> tuple[str, Gradients]:
        quarter = graph.op("Mul", grad, graph.number(0.25))
        columns = graph.op("Concat", *[graph.op("Unsqueeze", quarter, graph.integers(-1))] * 2, axis=-1)
        rows = graph.op("Concat", *[graph.op("Unsqueeze", columns, graph.integers(3))] * 2, axis=3)
        # [B, C, h, 2, w, 2]; an odd last row or column of the input was not pooled.
        even = [side // 2 * 2 for side in size]
        back = graph.op("Reshape", rows, graph.integers(0, 0, *even))
        if tuple(even) == size:
            return back, {}
        return graph.op("Pad", back, graph.integers(0, 0, 0, 0, 0, 0, size[0] - even[0], size[1] - even[1])), {}

    return y, backward


def linear(graph: Graph, name: str, x: str) -> tuple[str, Backward]:
    """``x @ weight.T + bias`` of ``[batch, features]``."""
    weight, bias = f"{name}.weight", f"{name}.bias"
    y = graph.op("Gemm", x, weight, bias, transB=1)

    def backward(grad: str, wanted: bool) -> tuple[str, Gradients]:
        gradients = {weight: graph.op("Gemm", grad, x, transA=1), bias: graph.sum(grad, (0,))}
        return (graph.op("MatMul", grad, weight) if wanted else ""), gradients

    return y, backward
