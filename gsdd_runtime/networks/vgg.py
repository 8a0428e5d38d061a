"""VGG-11."""

from __future__ import annotations

from torch import nn

from gsdd_runtime.networks.network import Network, Size, norm, sized

# Height and width that the larger form pools its last features to.
POOLED = 7


def vgg11(channels: int, classes: int, size: Size, *, kind: str = "instance", pooled: bool = False) -> Network:
    """With ``pooled``, the last features are max-pooled to 7 x 7 whatever the images' size."""
    layers: list[nn.Module] = []
    inputs = channels
    for width, halved in ((64, 1), (128, 1), (256, 0), (256, 1), (512, 0), (512, 1), (512, 0), (512, 1)):
        padding = 3 if channels == 1 and not layers else 1
        layers += [nn.Conv2d(inputs, width, 3, padding=padding), norm(width, kind), nn.ReLU(inplace=True)]
        if halved:
            layers.append(nn.MaxPool2d(2))
        inputs = width
    if pooled:
        layers.append(nn.AdaptiveMaxPool2d((POOLED, POOLED)))
    return sized("vgg11", nn.Sequential(*layers), channels, classes, size, 28 if channels == 1 else 32)
