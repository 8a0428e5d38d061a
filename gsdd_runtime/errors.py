"""What gsdd-rt raises. Each message says what was wrong, where, and what to do."""

from __future__ import annotations


class GsddError(Exception):
    """Base of every exception that gsdd-rt raises on purpose."""


class InputError(GsddError, ValueError):
    """Something the user gave cannot be used: a file, an option, a shape. The command exits with 2."""


class LibraryNotBuiltError(GsddError, ImportError):
    """A native library is not installed, or cannot be loaded."""
