"""Weights and images by a formula, the same for our networks and for the published ones: no file of weights is kept.

Values are a hash of the tensor's place and the element's (splitmix64), so that no element stands for another. Tensors
are taken in the order of ``named_parameters``, then of ``named_buffers``, which is that of the published code.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

IMAGES = 10**6


def hashed(place: int, *shape: int) -> Tensor:
    """Float64 in [-1, 1), from the number of the tensor and of each element."""
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) + (np.uint64(place) << np.uint64(32)) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    values = (x >> np.uint64(11)).astype(np.float64) / 2**52 - 1
    return torch.from_numpy(values.reshape(shape))


def images(count: int, *shape: int) -> Tensor:
    """Float64 ``[count, C, H, W]`` with a deviation of about 1."""
    return 1.7 * hashed(IMAGES, count, *shape)


@torch.no_grad()
def fill(network: nn.Module) -> nn.Module:
    """Writes every parameter and statistic of the network, which becomes float64."""
    network.double()
    for place, (name, tensor) in enumerate([*network.named_parameters(), *network.named_buffers()]):
        if not tensor.is_floating_point():
            continue
        drawn = hashed(place, *tensor.shape)
        kind = name.rpartition(".")[2]
        if kind == "weight" and tensor.dim() in (2, 4):
            drawn *= math.sqrt(6 * tensor.shape[0] / tensor.numel())
        elif kind in ("weight", "running_var"):
            drawn = 1 + 0.3 * drawn
        elif kind in ("bias", "running_mean"):
            drawn *= 0.2
        tensor.copy_(drawn)
    return network


def outputs(network: nn.Module, last: nn.Module, x: Tensor) -> dict[str, list[float]]:
    """What is kept of a network: logits, some of the features before ``last``, and the logits of training mode where
    there is batch norm."""
    features: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].flatten(1)))
    with torch.no_grad():
        kept = {"logits": network.eval()(x).flatten().tolist()}
        flat = features[0].flatten()
        kept["features"] = [float(flat.norm()), *flat[:: len(flat) // 8 + 1].tolist()]
        if any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
            kept["training"] = network.train()(x).flatten().tolist()
    hook.remove()
    return kept
