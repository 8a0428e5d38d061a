"""A 3 x 3 convolution, instance norm, ReLU and 2 x 2 pool in one, without a graph: the map between stays in a cache.

An image's whole map is made, normed and pooled before the next one's (``plugins/layers``): of few channels by plain
sums (:mod:`gsdd_runtime.networks.planes`), of more by Winograd's tiles (:mod:`gsdd_runtime.networks.winograd`), up to
as many as a cache holds the kernel of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from gsdd_runtime.networks import norm_relu_pool, planes, winograd

# Of one kernel by tiles 590 KB; wider ones take the products of a matrix library.
MOST_CHANNELS = 64


def fits(layers: Sequence[nn.Module]) -> bool:
    """Whether ``layers`` are the four, of numbers of channels that :func:`convolved_block` has steps for."""
    if len(layers) != 4 or not norm_relu_pool.fits(layers[1:]):
        return False
    return planes.fits(layers[0]) or _fits_tiles(layers[0])


def takes(layers: Sequence[nn.Module], x: Tensor) -> bool:
    """Whether ``layers`` fit, and what they make of ``x`` can be pooled."""
    return fits(layers) and x.dim() == 4 and min(planes.made_size(layers[0], x)) >= 2


def convolved_block(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """``x`` behind the four layers, without a gradient.

    Args:
        layers: that take ``x``.
        x: float32 ``[B, C, H, W]`` on the CPU; in planes where they are few, else channels last, or it is copied.

    Returns:
        ``[B, O, H' / 2, W' / 2]``, rounded down, channels last.
    """
    layer, norm = cast(nn.Conv2d, layers[0]), cast(nn.GroupNorm, layers[1])
    by_tiles = not planes.fits(layer)
    kernel = winograd.transformed(layer) if by_tiles else planes.kernel(layer)
    x = x.permute(0, 2, 3, 1) if by_tiles else x
    pooled: Tensor = torch.ops.gsdd.convolved_block(
        x.contiguous(), kernel, norm.weight, norm.bias, norm.eps, layer.padding[0], by_tiles
    )
    return pooled.permute(0, 3, 1, 2)


def _fits_tiles(layer: nn.Module) -> bool:
    return (
        winograd.fits(layer)
        and cast(nn.Conv2d, layer).out_channels % planes.LANES == 0
        and max(cast(nn.Conv2d, layer).in_channels, cast(nn.Conv2d, layer).out_channels) <= MOST_CHANNELS
    )
