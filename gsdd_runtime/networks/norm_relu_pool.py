"""Instance norm, ReLU and a 2 x 2 average pool in one: of channels-last maps on the CPU, of planes on a CUDA device.

PyTorch's group norm walks channels-last maps by their channels, and takes longer than the convolution before it: the
native library (``plugins/layers``) reads a map three times while a cache holds it, and writes what is left, in a tenth
of the time. On a CUDA device the three layers are two thirds of a training step of a ConvNet, most of it the pool's
gradient and the norm (docs/gpu.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class NormReluPool(torch.autograd.Function):
    """``avg_pool2d(relu(group_norm(x, channels, weight, bias, eps)), 2)`` of maps with even sides.

    They are ``[B, H, W, C]`` on the CPU, and ``planes``, ``[B, C, H, W]``, on a CUDA device.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, planes: bool) -> Tensor:
        step = torch.ops.gsdd.norm_relu_pool_planes if planes else torch.ops.gsdd.norm_relu_pool
        pooled, mean, inverse = step(x, weight, bias, eps)
        ctx.planes = planes
        ctx.save_for_backward(x, mean, inverse, weight, bias)
        result: Tensor = pooled
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        ops = torch.ops.gsdd
        step = ops.norm_relu_pool_planes_backward if ctx.planes else ops.norm_relu_pool_backward
        found = step(gradients[0].contiguous(), *ctx.saved_tensors)
        # Each image has its own gradient of the weights.
        asked = ctx.needs_input_grad[1:3]
        summed = [g.sum(dim=0) if wanted else None for g, wanted in zip(found[1:], asked, strict=True)]
        return found[0], *summed, None, None


def norm_relu_pool_planes(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """``x`` behind ``norm``, a ReLU and a pool.

    Args:
        x: float32 ``[B, C, H, W]`` on a CUDA device that has device steps, of even sides; in planes, or it is copied.
        norm: an instance norm.

    Returns:
        ``[B, C, H / 2, W / 2]``, differentiable once.
    """
    pooled: Tensor = NormReluPool.apply(x.contiguous(), norm.weight, norm.bias, norm.eps, True)
    return pooled


def norm_relu_pool(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """``x`` behind ``norm``, a ReLU and a pool.

    Args:
        x: float32 ``[B, C, H, W]`` on the CPU, of even sides; channels last, or it is copied.
        norm: an instance norm.

    Returns:
        ``[B, C, H / 2, W / 2]``, channels last, differentiable once.
    """
    pooled: Tensor = NormReluPool.apply(x.permute(0, 2, 3, 1).contiguous(), norm.weight, norm.bias, norm.eps, False)
    return pooled.permute(0, 3, 1, 2)


def fits(layers: Sequence[nn.Module]) -> bool:
    """Whether ``layers`` are the three, with an instance norm."""
    if len(layers) != 3:
        return False
    norm, relu, pool = layers
    return (
        isinstance(norm, nn.GroupNorm)
        and norm.num_groups == norm.num_channels
        and norm.affine
        and isinstance(relu, nn.ReLU)
        and isinstance(pool, nn.AvgPool2d)
        and pool.kernel_size == 2
    )
