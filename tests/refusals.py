"""What a refusal has to be: one line of InputError that says the words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gsdd_runtime.errors import InputError


def check_refused(read: Callable[[], object], *words: str) -> None:
    """``read`` raises an InputError of one line with all of ``words`` in it."""
    with pytest.raises(InputError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
