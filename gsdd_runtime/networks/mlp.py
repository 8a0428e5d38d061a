"""A perceptron of three layers."""

from __future__ import annotations

from torch import nn

from gsdd_runtime.networks.network import Network, Size, linear


def mlp(channels: int, classes: int, size: Size) -> Network:
    first = linear(channels * size[0] * size[1], 128)
    features = nn.Sequential(nn.Flatten(), first, nn.ReLU(inplace=True), nn.Linear(128, 128), nn.ReLU(inplace=True))
    return Network(features, 128, classes)
