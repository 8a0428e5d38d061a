"""A network's input of images in pixel units, as nodes of an ONNX graph: what ``sets.preparation`` does to tensors."""

from __future__ import annotations

import torch

from gsdd_runtime.export.graph import Graph
from gsdd_runtime.export.onnx import PREFIX, tensor
from gsdd_runtime.sets.preparation import Preparation

_MEAN, _STD, _ZCA, _OFFSET = (PREFIX + name for name in ("mean", "std", "zca", "zca_offset"))


def prepare(graph: Graph, images: str, preparation: Preparation) -> str:
    """``images`` float32 ``[batch, C, H, W]`` as a network takes them; adds the initialisers that it needs."""
    if preparation.zca is None:
        for name, value in zip((_MEAN, _STD), preparation.statistics(torch.device("cpu")), strict=True):
            graph.initializers.append(tensor(name, value.view(1, -1, 1, 1)))
        return graph.op("Div", graph.op("Sub", images, _MEAN), _STD)
    graph.initializers += [tensor(_ZCA, preparation.zca[:-1]), tensor(_OFFSET, preparation.zca[-1])]
    return _shaped(graph, graph.op("Gemm", _flat(graph, images, preparation), _ZCA, _OFFSET), preparation)


def prepared_gradient(graph: Graph, gradient: str, preparation: Preparation) -> str:
    """The gradient of the images from that of what ``prepare`` made of them in the same graph."""
    if preparation.zca is None:
        return graph.op("Div", gradient, _STD)
    return _shaped(graph, graph.op("Gemm", _flat(graph, gradient, preparation), _ZCA, transB=1), preparation)


# In a shape, 0 leaves the batch as it is.
def _flat(graph: Graph, images: str, preparation: Preparation) -> str:
    channels, height, width = preparation.shape
    return graph.op("Reshape", images, graph.integers(0, channels * height * width))


def _shaped(graph: Graph, rows: str, preparation: Preparation) -> str:
    return graph.op("Reshape", rows, graph.integers(0, *preparation.shape))
