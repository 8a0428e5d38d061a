"""3 x 3 convolutions of few channels, from planes to channels-last maps, and back: an image at a time, on the CPU.

PyTorch's own gradient of three channels takes four times as long (``plugins/layers``).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gsdd_runtime.networks.winograd import LEAST_CHANNELS, is_3x3

# What the widest vector holds; filters come in so many.
LANES = 16
MOST_PADDING = 16


def fits(layer: nn.Module) -> bool:
    """Whether ``layer`` is a 3 x 3 convolution of planes that the native library has sums for."""
    return (
        is_3x3(layer)
        and int(layer.padding[0]) <= MOST_PADDING
        and layer.in_channels < LEAST_CHANNELS
        and layer.out_channels % LANES == 0
    )


def takes(layer: nn.Module, x: Tensor) -> bool:
    """Whether :func:`convolved` does what ``layer`` does to ``x``."""
    return fits(layer) and x.dim() == 4 and min(made_size(layer, x)) >= 1 and not _weight(layer).requires_grad


def made_size(layer: nn.Module, x: Tensor) -> tuple[int, int]:
    """Height and width of the map that ``layer`` makes of ``x``."""
    padding = cast(int, cast(nn.Conv2d, layer).padding[0])
    return x.shape[2] + 2 * padding - 2, x.shape[3] + 2 * padding - 2


def kernel(layer: nn.Module) -> Tensor:
    """The weights as the native sums take them, ``[C, 3, 3, O]``."""
    return _weight(layer).detach().permute(1, 2, 3, 0).contiguous()


def convolved(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer(x)`` without its bias.

    Args:
        layer: one that :func:`takes`, whose weights ask for no gradient.
        x: float32 ``[B, C, H, W]`` on the CPU, in planes, or it is copied.

    Returns:
        float32 ``[B, O, H', W']``, channels last, differentiable in ``x``.
    """
    padding = cast(nn.Conv2d, layer).padding[0]
    result: Tensor = _Convolved.apply(x.contiguous(), kernel(layer), padding)
    return result.permute(0, 3, 1, 2)


def _weight(layer: nn.Module) -> Tensor:
    return cast(nn.Conv2d, layer).weight


class _Convolved(torch.autograd.Function):
    """Of planes ``[B, C, H, W]``, to maps ``[B, H', W', O]``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: int) -> Tensor:
        ctx.kernel, ctx.padding, ctx.size = kernel, padding, x.shape[2:]
        result: Tensor = torch.ops.gsdd.convolved_planes(x, kernel, padding)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gradient = gradients[0].contiguous()
        return torch.ops.gsdd.convolved_planes_backward(gradient, ctx.kernel, *ctx.size, ctx.padding), None, None
