"""LeNet."""

from __future__ import annotations

from torch import nn

from gsdd_runtime.networks.network import Network, Size, linear, shape_after, too_small


def lenet(channels: int, classes: int, size: Size) -> Network:
    gray = channels == 1
    if min(size) < (12 if gray else 16):
        raise too_small("lenet", size, f"it needs sides of {12 if gray else 16} or more")
    convolutions = nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2 if gray else 0),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
    count = shape_after(convolutions, channels, size).numel()
    head = [
        nn.Flatten(),
        linear(count, 120),
        nn.ReLU(inplace=True),
        nn.Linear(120, 84),
        nn.ReLU(inplace=True),
    ]
    return Network(nn.Sequential(*convolutions, *head), 84, classes)
