"""The network of NCFM that looks for the frequencies at which two sets of features differ most."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SamplingNetwork(nn.Module):
    """Frequencies in (-1, 1) made of noise, by three layers as wide as the features.

    As released, a layer is linear, then batch norm, then a leaky ReLU of 0.2, the last one a hyperbolic tangent. The
    release repeats what comes out 16 times to fill its batch, which changes no mean, so it is not done here.

    Args:
        features: numbers in a frequency.
    """

    LAYERS = 3
    SLOPE = 0.2

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.linear = nn.ModuleList(nn.Linear(features, features) for _ in range(self.LAYERS))
        # Its statistics are always those of the noise at hand: running ones would be state without a use.
        self.norm = nn.ModuleList(nn.BatchNorm1d(features, track_running_stats=False) for _ in range(self.LAYERS))

    def forward(self, noise: Tensor) -> Tensor:
        """Frequencies ``[K, features]`` of normal noise of that shape; ``K`` must be at least 2."""
        for number, (linear, norm) in enumerate(zip(self.linear, self.norm, strict=True)):
            noise = norm(linear(noise))
            last = number == self.LAYERS - 1
            noise = torch.tanh(noise) if last else nn.functional.leaky_relu(noise, self.SLOPE)
        return noise
