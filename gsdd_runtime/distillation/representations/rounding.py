"""Rounding to the stored type with a gradient that passes straight through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _RoundToBfloat16(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, masters: Tensor) -> Tensor:
        return masters.bfloat16().float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def round_to_bfloat16(masters: Tensor) -> Tensor:
    """``masters`` rounded to bfloat16, as float32; the gradient is that of the identity, in float32.

    A plain cast would round the gradient to bfloat16 as well.
    """
    result: Tensor = _RoundToBfloat16.apply(masters)
    return result
