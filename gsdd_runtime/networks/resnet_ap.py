"""ResNet-AP-10: a ResNet of one block a stage whose strides are average pools (Kim et al., arXiv 2205.14959)."""

from __future__ import annotations

from torch import nn

from gsdd_runtime.networks.network import Network, Size, draw_as_he, norm, too_small
from gsdd_runtime.networks.resnet import STAGES, BasicBlock

# By the longer side of the images: the kernel of the first convolution, and the average pool behind it.
STEMS = ((64, 3, 1), (128, 3, 2), (float("inf"), 7, 4))


def resnet_ap10(channels: int, classes: int, size: Size, *, kind: str = "instance") -> Network:
    kernel, pool = next((kernel, pool) for side, kernel, pool in STEMS if max(size) <= side)
    # Two pixels are left of a side in the last stage, three pools further: norms make one a constant.
    least = 16 * pool
    if min(size) < least:
        raise too_small("resnetap10", size, f"it needs sides of {least} or more at a longer side of {max(size)}")
    layers: list[nn.Module] = [
        nn.Conv2d(channels, 64, kernel, padding=kernel // 2, bias=False),
        norm(64, kind),
        nn.ReLU(inplace=True),
    ]
    if pool > 1:
        layers.append(nn.AvgPool2d(pool))
    inputs = 64
    for width, stride in STAGES:
        layers.append(BasicBlock(inputs, width, stride, kind, pooled=True))
        inputs = width
    layers.append(nn.AdaptiveAvgPool2d(1))
    network = Network(nn.Sequential(*layers), 512, classes)
    draw_as_he(network.features)
    return network
