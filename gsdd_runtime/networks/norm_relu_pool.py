"""Instance norm, ReLU and a 2 x 2 average pool in one, for channels-last maps on the CPU: a tenth of their time.

PyTorch's group norm walks channels-last maps by their channels, and takes longer than the convolution before it. The
native library (``plugins/layers``) reads a map three times while a cache holds it, and writes what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class NormReluPool(torch.autograd.Function):
    """``avg_pool2d(relu(group_norm(x, channels, weight, bias, eps)), 2)`` of maps ``[B, H, W, C]`` with even sides.

    The gradient is that of ``x`` alone.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        pooled, mean, scale = torch.ops.gsdd.norm_relu_pool(x, weight, bias, eps)
        ctx.save_for_backward(x, mean, scale, weight, bias)
        result: Tensor = pooled
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gradient = torch.ops.gsdd.norm_relu_pool_backward(gradients[0].contiguous(), *ctx.saved_tensors)
        return gradient, None, None, None


def norm_relu_pool(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """``x`` behind ``norm``, a ReLU and a pool.

    Args:
        x: float32 ``[B, C, H, W]`` on the CPU, of even sides; channels last, or it is copied.
        norm: whose weights ask for no gradient.

    Returns:
        ``[B, C, H / 2, W / 2]``, channels last, differentiable in ``x``.
    """
    pooled: Tensor = NormReluPool.apply(x.permute(0, 2, 3, 1).contiguous(), norm.weight, norm.bias, norm.eps)
    return pooled.permute(0, 3, 1, 2)


def fits(layers: Sequence[nn.Module]) -> bool:
    """Whether ``layers`` are the three, with an instance norm whose weights ask for no gradient."""
    if len(layers) != 3:
        return False
    norm, relu, pool = layers
    return (
        isinstance(norm, nn.GroupNorm)
        and norm.num_groups == norm.num_channels
        and norm.affine
        and not norm.weight.requires_grad
        and isinstance(relu, nn.ReLU)
        and isinstance(pool, nn.AvgPool2d)
        and pool.kernel_size == 2
    )
