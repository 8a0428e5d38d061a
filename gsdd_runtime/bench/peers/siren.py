"""A SIREN (arXiv 2006.09661) of as many bytes an image: coordinates in, colours out, evaluated at every pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.bench.points import Workload

# Activations of one batch, in float32 values.
_BATCH_VALUES = 1 << 25
_FREQUENCY = 30.0


def hidden_width(numbers: int, channels: int) -> int:
    """The widest net of two hidden layers with at most ``numbers`` weights and biases."""
    width = 1
    while _weights(width + 1, channels) <= numbers:
        width += 1
    return width


def _weights(width: int, channels: int) -> int:
    return (2 * width + width) + (width * width + width) + (channels * width + channels)


def evaluate(coordinates: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    """``[H*W, 2]`` through a batch of nets to ``[B, C, H*W]``."""
    values = coordinates.t()
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        values = torch.matmul(weight.float(), values) + bias.float()[:, :, None]
        if layer < len(weights) - 1:
            values = torch.sin(_FREQUENCY * values)
    return values


class Siren:
    """Its weights are random: the time does not depend on their values."""

    name = "SIREN of equal bytes, torch.compile"

    def __init__(self, workload: Workload) -> None:
        point = workload.point
        numbers = point.bytes_per_image // 2
        width = hidden_width(numbers, point.channels)
        self.images = max(1, min(point.batch, _BATCH_VALUES // (width * point.side**2)))
        self.bytes_per_image = 2.0 * _weights(width, point.channels)
        self.note = f"two hidden layers of {width}, random weights"
        stored = len(workload.gaussians)
        generator = torch.Generator().manual_seed(0)
        shapes = [(width, 2), (width, width), (point.channels, width)]
        self._weights = [
            torch.randn(stored, *shape, generator=generator).div(shape[1] ** 0.5 * _FREQUENCY).bfloat16()
            for shape in shapes
        ]
        self._biases = [torch.zeros(stored, shape[0], dtype=torch.bfloat16) for shape in shapes]
        self._indices = workload.indices[: self.images]
        self._shape = (self.images, point.channels, point.side, point.side)
        line = (torch.arange(point.side) + 0.5) / point.side * 2 - 1
        self._coordinates = torch.cartesian_prod(line, line)
        self._compiled = torch.compile(evaluate, fullgraph=True, dynamic=False)

    def decode(self) -> Tensor:
        weights = [weight[self._indices] for weight in self._weights]
        biases = [bias[self._indices] for bias in self._biases]
        result: Tensor = self._compiled(self._coordinates, weights, biases)
        return result.view(self._shape)
