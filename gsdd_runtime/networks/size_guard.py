"""A bound for what a network may take while it is made, where a file that may be hostile names it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import bytes_in_words

# Making a network may replace some of its layers, the classifier for one: they count as well.
_SPARE_FACTOR, _SPARE_BYTES = 2, 1 << 26


@contextmanager
def at_most(held: int, where: object, name: str) -> Iterator[None]:
    """Stops the making of a network, in this thread, that takes far more than a file holds.

    Args:
        held: bytes of the file.
        where: the file, for the message.
        name: of the network.

    Raises:
        InputError: as soon as its parameters take more than twice that, and 64 MB beside; and before a single tensor is
            allocated, a parameter or an image to try it with, that would take more than is left of these.
    """
    left = _SPARE_FACTOR * held + _SPARE_BYTES
    thread = threading.get_ident()

    def count(_: nn.Module, __: str, parameter: nn.Parameter) -> None:
        nonlocal left
        if threading.get_ident() != thread or parameter is None:
            return
        left -= parameter.numel() * parameter.element_size()
        if left < 0:
            raise InputError(f"{where} holds {bytes_in_words(held)}, the weights of {name}, which it names, take more")

    def allow(size: int) -> None:
        if size > left:
            raise InputError(
                f"{where} holds {bytes_in_words(held)}, and {name}, which it names, takes a tensor of "
                f"{bytes_in_words(size)}"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        with _Asked(allow):
            yield
    finally:
        hook.remove()


class _Asked(TorchDispatchMode):
    """Tells the bytes of each tensor that is made from nothing, such as a fresh parameter, before it is allocated."""

    def __init__(self, allow: Callable[[int], None]) -> None:
        super().__init__()
        self._allow = allow

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        device = options.get("device")
        named = {argument.name for argument in func._schema.arguments}
        if {"device", "dtype"} <= named and not _has_tensor(args) and (device is None or device.type != "meta"):
            without_memory = func(*args, **{**options, "device": torch.device("meta"), "pin_memory": None})
            self._allow(math.prod(without_memory.shape) * without_memory.element_size())
        return func(*args, **options)


def _has_tensor(args: Sequence[Any]) -> bool:
    return any(isinstance(argument, torch.Tensor) for argument in args)
