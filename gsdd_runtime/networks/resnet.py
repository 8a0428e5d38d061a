"""ResNet-18 in two forms: the field's for small images, and torchvision's with a stem that shrinks them four times."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsdd_runtime.networks.network import Network, Size, draw_as_he, norm, too_small

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))


class BasicBlock(nn.Module):
    """The basic block of ResNet; ``pooled``, with average pools in place of strides."""

    def __init__(self, inputs: int, outputs: int, stride: int, kind: str, *, pooled: bool = False) -> None:
        super().__init__()
        pool: list[nn.Module] = [nn.AvgPool2d(stride)] if pooled and stride != 1 else []
        strided = 1 if pooled else stride
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=strided, padding=1, bias=False),
            norm(outputs, kind),
            nn.ReLU(inplace=True),
            *pool,
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm(outputs, kind),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            narrow = nn.Conv2d(inputs, outputs, 1, stride=strided, bias=False)
            self.shortcut = nn.Sequential(narrow, *pool, norm(outputs, kind))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18(channels: int, classes: int, size: Size, *, kind: str = "instance", large_stem: bool = False) -> Network:
    """With ``large_stem``, torchvision's form: a 7 x 7 convolution and a max pool, each of stride 2, and its start."""
    name, least = ("resnet18-imagenet", 33) if large_stem else ("resnet18", 9)
    if min(size) < least:
        # Below, the last stage has one pixel, which instance norm turns into a constant.
        raise too_small(name, size, f"it needs sides of {least} or more")
    if large_stem:
        layers: list[nn.Module] = [nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)]
    else:
        layers = [nn.Conv2d(channels, 64, 3, padding=1, bias=False)]
    layers += [norm(64, kind), nn.ReLU(inplace=True)]
    if large_stem:
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
    inputs = 64
    for width, stride in STAGES:
        layers += [BasicBlock(inputs, width, stride, kind), BasicBlock(width, width, 1, kind)]
        inputs = width
    # The field pools by 4 the 4 x 4 that 32 x 32 leaves; the mean over all is the same and takes any size.
    layers.append(nn.AdaptiveAvgPool2d(1))
    network = Network(nn.Sequential(*layers), 512, classes)
    if large_stem:
        draw_as_he(network.features)
    return network
