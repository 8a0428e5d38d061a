"""ResNet-18 with instance norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsdd_runtime.networks.network import Network, Size, norm, too_small


class _Block(nn.Module):
    """The basic block of ResNet, with instance norm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            norm(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18(channels: int, classes: int, size: Size) -> Network:
    if min(size) < 9:
        # Below, the last stage has one pixel, which instance norm turns into a constant.
        raise too_small("resnet18", size, "it needs sides of 9 or more")
    layers: list[nn.Module] = [
        nn.Conv2d(channels, 64, 3, padding=1, bias=False),
        norm(64),
        nn.ReLU(inplace=True),
    ]
    inputs = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_Block(inputs, width, stride), _Block(width, width, 1)]
        inputs = width
    # The field pools by 4 the 4 x 4 that 32 x 32 leaves; the mean over all is the same and takes any size.
    layers.append(nn.AdaptiveAvgPool2d(1))
    return Network(nn.Sequential(*layers), 512, classes)
