"""VGG-11 with instance norm."""

from __future__ import annotations

from torch import nn

from gsdd_runtime.networks.network import Network, Size, norm, sized


def vgg11(channels: int, classes: int, size: Size) -> Network:
    layers: list[nn.Module] = []
    inputs = channels
    for width, pooled in ((64, 1), (128, 1), (256, 0), (256, 1), (512, 0), (512, 1), (512, 0), (512, 1)):
        padding = 3 if channels == 1 and not layers else 1
        layers += [nn.Conv2d(inputs, width, 3, padding=padding), norm(width), nn.ReLU(inplace=True)]
        if pooled:
            layers.append(nn.MaxPool2d(2))
        inputs = width
    return sized("vgg11", nn.Sequential(*layers), channels, classes, size, 28 if channels == 1 else 32)
