"""3 x 3 convolutions of many channels with a quarter of the products: Winograd's F(4 x 4, 3 x 3).

From Lavin and Gray, arXiv 1509.09308, section 4.3. A tile of 4 x 4 results comes of 36 products a channel instead of
144. The sums are longer: the result is off by 2e-6 of its size in float32, a plain convolution's by 4e-7.
"""

from __future__ import annotations

from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Below so many channels the way there and back takes longer than the products that are saved.
LEAST_CHANNELS = 32
TILE = 4

_G = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))
_WEIGHT = torch.tensor(_G, dtype=torch.float64) / 24


def is_3x3(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether ``layer`` is a 3 x 3 convolution of every place and channel, with as many zeros around both ways."""
    return (
        isinstance(layer, nn.Conv2d)
        and (layer.kernel_size, layer.stride, layer.dilation, layer.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
        and layer.padding[0] == layer.padding[1]
    )


def fits(layer: nn.Module) -> bool:
    """Whether ``layer`` is a 3 x 3 convolution of so many channels that tiles are sooner done."""
    return is_3x3(layer) and layer.padding[0] == 1 and min(layer.in_channels, layer.out_channels) >= LEAST_CHANNELS


def takes(layer: nn.Module, x: Tensor) -> bool:
    """Whether :func:`convolved` does what ``layer`` does to ``x``, and sooner."""
    whole = x.shape[2] % TILE == x.shape[3] % TILE == 0
    return whole and fits(layer) and not cast(nn.Conv2d, layer).weight.requires_grad


def convolved(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """``layer(x)`` without its bias.

    Args:
        layer: one that :func:`takes`, whose weights ask for no gradient.
        x: float32 ``[B, C, H, W]`` on the CPU; channels last, or it is copied.

    Returns:
        float32 ``[B, O, H, W]``, channels last, differentiable in ``x``.
    """
    result: Tensor = _Convolved.apply(x.permute(0, 2, 3, 1).contiguous(), layer)
    return result.permute(0, 3, 1, 2)


class _Convolved(torch.autograd.Function):
    """Of maps ``[B, H, W, C]``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.Conv2d) -> Tensor:
        ctx.layer, ctx.version = layer, layer.weight._version
        return _by_products(x, transformed(layer))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if ctx.layer.weight._version != ctx.version:
            raise RuntimeError("the weights of a convolution have changed since its images were embedded")
        return _by_products(gradients[0].contiguous(), transformed(ctx.layer, backward=True)), None


def _by_products(x: Tensor, weights: Tensor) -> Tensor:
    products = torch.bmm(torch.ops.gsdd.winograd_read(x), weights)
    result: Tensor = torch.ops.gsdd.winograd_write(products, *x.shape[:3])
    return result


def transformed(layer: nn.Conv2d, *, backward: bool = False) -> Tensor:
    """The weights as the products take them, ``[36, C, O]``; kept with the layer until its weights change.

    The gradient in ``x`` is a convolution, too: with the weights turned by half a circle, from ``O`` channels to ``C``.
    """
    now = layer.weight.data_ptr(), layer.weight._version
    before, kept = layer.__dict__.get("winograd", (None, {}))
    if before != now:
        kept = {}
        layer.__dict__["winograd"] = (now, kept)
    if backward not in kept:
        weight = layer.weight.detach().double()
        weight = weight.flip(2, 3).transpose(0, 1) if backward else weight
        turned = torch.einsum("ui,vj,ocij->uvco", _WEIGHT, _WEIGHT, weight)
        kept[backward] = turned.flatten(0, 1).float().contiguous()
    result: Tensor = kept[backward]
    return result
