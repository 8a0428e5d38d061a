"""AlexNet for small images."""

from __future__ import annotations

from torch import nn

from gsdd_runtime.networks.network import Network, Size, norm, sized


def alexnet(channels: int, classes: int, size: Size, *, batch_norm: bool = False) -> Network:
    layers: list[nn.Module] = []
    inputs = channels
    plan = [(128, 5, 4 if channels == 1 else 2), (192, 5, 2), (256, 3, 1), (192, 3, 1), (192, 3, 1)]
    for block, (width, kernel, padding) in enumerate(plan):
        layers.append(nn.Conv2d(inputs, width, kernel, padding=padding))
        if batch_norm:
            layers.append(norm(width, "batch"))
        layers.append(nn.ReLU(inplace=True))
        if block in (0, 1, 4):
            layers.append(nn.MaxPool2d(2))
        inputs = width
    return sized("alexnet", nn.Sequential(*layers), channels, classes, size, 4 if channels == 1 else 8)
