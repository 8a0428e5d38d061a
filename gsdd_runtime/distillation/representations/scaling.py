"""Enlarging stored pixels as a decoder does, with a gradient that is the same every run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.sets.decoding import scaled


class _ScaleUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.sizes = tuple(zip(pixels.shape[2:], size, strict=True))
        return scaled(pixels, size)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # PyTorch's own gradient adds with float atomics on CUDA. Scaling is a matrix along each side.
        rows, columns = (_matrix(small, large, grad) for small, large in ctx.sizes)
        return rows.T @ grad @ columns, None


def scale_up(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels ``[B, C, H, W]``, float32, at ``size`` as a set decodes them, differentiable once."""
    if tuple(pixels.shape[2:]) == size:
        return pixels
    result: Tensor = _ScaleUp.apply(pixels, size)
    return result


def _matrix(small: int, large: int, like: Tensor) -> Tensor:
    """What scaling does along a side, ``[large, small]``."""
    unit = torch.eye(small, dtype=like.dtype, device=like.device)
    return scaled(unit.view(1, 1, small, small), (large, small))[0, 0]
