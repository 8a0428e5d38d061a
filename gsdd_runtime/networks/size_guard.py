"""A bound for what a network may take while it is made, where a file that may be hostile names it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import bytes_in_words

# Making a network may replace some of its layers, the classifier for one: they count as well.
_SPARE_FACTOR, _SPARE_BYTES = 2, 1 << 26


@contextmanager
def at_most(held: int, where: object, name: str) -> Iterator[None]:
    """Stops the making of a network, in this thread, whose weights are far more than a file holds.

    Args:
        held: bytes of the file.
        where: the file, for the message.
        name: of the network.

    Raises:
        InputError: as soon as its parameters take more than twice that, and 64 MB beside.
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

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
