"""Rounding to what is stored, with a gradient that passes straight through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.coding.steps import Steps, canonical, quantize, stored


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, exact: Tensor, stored: Tensor) -> Tensor:
        return stored

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def round_to_bfloat16(masters: Tensor) -> Tensor:
    """``masters`` rounded to bfloat16, as float32; the gradient is that of the identity, in float32.

    A plain cast would round the gradient to bfloat16 as well.
    """
    result: Tensor = _StraightThrough.apply(masters, masters.detach().bfloat16().float())
    return result


def round_to_steps(masters: Tensor, height: int, width: int, steps: Steps) -> Tensor:
    """Gaussians ``[..., N, 6 + C]`` as a coded set gives them back, float32; the gradient is that of the exact ones."""
    with torch.no_grad():
        kept = stored(quantize(masters, height, width, steps), height, width, steps).float()
    result: Tensor = _StraightThrough.apply(canonical(masters), kept)
    return result


def round_to_levels(pixels: Tensor, steps: PixelSteps) -> Tensor:
    """Pixels as a coded set gives them back, float32; the gradient is that of the identity."""
    with torch.no_grad():
        stored = steps.values(steps.numbers(pixels)).float().bfloat16().float()
    result: Tensor = _StraightThrough.apply(pixels, stored)
    return result
