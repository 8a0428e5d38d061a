"""What gsdd-rt raises. Each message says what was wrong, where, and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

# What a terminal obeys and does not show: control characters, line separators, marks that turn the direction of text.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# Halves of surrogate pairs besides, which no terminal can be sent: names of files may hold them.
_UNPRINTABLE = re.compile(CONTROLS.pattern[:-1] + r"\ud800-\udfff]")
# Longer messages quote a file that is not worth reading on: their beginning and end are kept.
_MESSAGE_START, _MESSAGE_END = 1500, 500


def printable(text: str) -> str:
    """``text`` for a terminal: what it would obey, or could not show, is written as an escape."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class GsddError(Exception):
    """Base of every exception that gsdd-rt raises on purpose. Its message is one printable line."""

    def __str__(self) -> str:
        text = printable(" ".join(re.split(r"[\t\n\r]+", super().__str__())))
        if len(text) <= _MESSAGE_START + _MESSAGE_END:
            return text
        return f"{text[:_MESSAGE_START]} ... {text[-_MESSAGE_END:]}"


class InputError(GsddError, ValueError):
    """Something the user gave cannot be used: a file, an option, a shape. The command exits with 2."""


class BusyError(InputError):
    """Another run is writing the file."""


class OutOfRangeError(InputError, IndexError):
    """There is no image at an index: where a sequence is walked through to its end, Python stops at it."""


class LibraryNotBuiltError(GsddError, ImportError):
    """A native library is not installed, or cannot be loaded."""


def check_type(name: str, value: object, kinds: type | tuple[type, ...], what: str, remedy: str) -> None:
    """Raises InputError unless ``value``, an argument called ``name``, is one of ``kinds``: ``what``, in words."""
    if not isinstance(value, kinds):
        raise InputError(f"{name} must be {what}, got {type(value).__name__}: {remedy}")


@contextmanager
def reading(path: str | os.PathLike[str], remedy: str = "") -> Iterator[None]:
    """Makes what the system says while ``path`` is read an InputError that names it, with ``remedy`` at its end."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}{remedy}") from error
