"""Choosing rows of a distilled set, and the size of their images."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError, OutOfRangeError
from gsdd_runtime.splatting.gaussians import MAX_SIDE

Indices = int | slice | Sequence[int] | Tensor | None


def select(indices: Indices, count: int) -> slice | Tensor:
    """``indices`` into ``count`` images as a slice of step 1, where they are one, or an int64 tensor ``[B]``.

    Raises:
        InputError: no whole numbers, more than one dimension, or an index out of 0 to count - 1.
    """
    if indices is None:
        return slice(0, count)
    if isinstance(indices, slice):
        try:
            indices = range(*indices.indices(count))
        except (TypeError, ValueError) as error:
            raise InputError(f"indices {indices} are no range: {error}") from error
    if isinstance(indices, range):
        if not indices:
            return slice(0, 0)
        _check_bounds(min(indices), max(indices), count)
        if indices.step == 1:
            return slice(indices.start, indices.stop)
    try:
        chosen = torch.as_tensor(indices)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"indices must be whole numbers: {error}") from error
    if chosen.numel() == 0 and chosen.dim() == 1:
        return chosen.long()
    if chosen.dtype == torch.bool or chosen.is_floating_point() or chosen.is_complex() or chosen.dim() > 1:
        kind = str(chosen.dtype).removeprefix("torch.")
        raise InputError(f"indices must be whole numbers in one dimension, got {kind} {list(chosen.shape)}")
    chosen = chosen.long().reshape(-1)
    low, high = chosen.aminmax()
    _check_bounds(int(low), int(high), count)
    return chosen


def _check_bounds(low: int, high: int, count: int) -> None:
    if low < 0 or high >= count:
        raise OutOfRangeError(f"index {low if low < 0 else high} is out of range: the set has images 0 to {count - 1}")


def output_side(name: str, value: int | None, native: int) -> int:
    """``value`` as an int from 1 to 16384, or ``native`` for None."""
    if value is None:
        return native
    try:
        side = operator.index(value)
    except TypeError:
        side = 0
    if not 1 <= side <= MAX_SIDE:
        raise InputError(f"{name} must be 1 to {MAX_SIDE}, got {value!r}")
    return side
