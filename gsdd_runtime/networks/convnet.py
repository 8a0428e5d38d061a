"""ConvNet: the network that distilled sets are made and judged with."""

from __future__ import annotations

from torch import nn

from gsdd_runtime.networks.network import Network, Size, norm, too_small


def convnet(channels: int, classes: int, size: Size, depth: int, width: int) -> Network:
    padding = 3 if channels == 1 else 1
    sides = [side + 2 * (padding - 1) >> depth for side in size]
    if min(sides) < 1:
        least = (1 << depth) - 2 * (padding - 1)
        raise too_small(f"convnet{depth}", size, f"it needs sides of {least} or more, or a smaller depth")
    layers: list[nn.Module] = []
    inputs = channels
    for block in range(depth):
        layers += [
            nn.Conv2d(inputs, width, 3, padding=padding if block == 0 else 1),
            norm(width),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
        ]
        inputs = width
    return Network(nn.Sequential(*layers), width * sides[0] * sides[1], classes)
