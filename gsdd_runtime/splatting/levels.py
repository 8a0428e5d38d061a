"""Where an op meets autograd: which derivatives are asked of a call, at autograd's own level or one of torch.func's.

``torch.library.register_autograd`` makes a Function that torch.func refuses, drops tangents without a word and costs
ten times the call. So the ops have autograd kernels of their own, written with this.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import Function, forward_ad
from torch.autograd.function import _SingleLevelFunction

Below = torch._C._AutoDispatchBelowAutograd
"""A context in which an op is its kernel, or what the next transform of torch.func makes of it."""


def under_transform() -> bool:
    """Whether a transform of torch.func, vmap among them, is at work."""
    return bool(torch._C._are_functorch_transforms_active())


def needs_no_levels(*tensors: Tensor | None) -> bool:
    """Whether no derivative and no transform is asked of a call with these tensors."""
    if forward_ad._current_level >= 0 or under_transform():
        return False
    return not (torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors))


def has_tangent(tensor: Tensor | None) -> bool:
    """Whether the level at work derives from this tensor in forward mode."""
    if tensor is None or forward_ad._current_level < 0:
        return False
    return forward_ad.unpack_dual(tensor).tangent is not None


def is_derived_from(tensor: Tensor | None) -> bool:
    """Whether the level at work derives from this tensor, in either mode."""
    return tensor is not None and ((torch.is_grad_enabled() and tensor.requires_grad) or has_tangent(tensor))


def record(function: type[Function], *arguments: Any) -> Tensor:
    """``function.apply`` for the level at work alone: what an op's autograd kernel calls."""
    if not under_transform():
        return cast(Tensor, function.apply(*arguments))
    with enable_single_level_autograd_function():
        return cast(Tensor, _of_one_level(function).apply(*arguments))


@cache
def _of_one_level(function: type[Function]) -> Any:
    """``function`` for one transform; itself it would begin again at the topmost, from which the call has come down."""
    members = {"forward": staticmethod(function.forward), "backward": staticmethod(function.backward)}
    return type(function.__name__, (_SingleLevelFunction,), members)


def call_below(op: Any, *arguments: Any) -> Tensor:
    """``op`` with no derivative at the level at work."""
    with Below():
        return cast(Tensor, op(*arguments))


def call_in_forward(call: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """``call(*arguments)`` inside a Function's ``forward``, for the levels below that derive from the same tensors."""
    if not under_transform():
        return call(*arguments)
    # The Function has turned both off, at every level.
    with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
        return call(*arguments)
