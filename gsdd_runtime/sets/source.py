"""The open file under mapped tensors."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from gsdd_runtime.errors import InputError


class Source:
    """Says whether a mapped file is still what it was when it was opened.

    Reading a page that was cut off the file would end the process, so ``check`` comes before each use.

    Args:
        path: of the file.
        file: open; it may be closed afterwards.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        # A bare descriptor: a file object would warn when it is collected, and no caller closes a set.
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def check(self) -> None:
        """Raises InputError if the file was cut short since it was opened."""
        now = os.fstat(self._descriptor).st_size
        if now < self.size:
            raise InputError(
                f"{self.path} was cut short while in use ({self.size} bytes, now {now}): restore and reopen it"
            )

    def check_name(self) -> None:
        """Raises InputError if the path leads to another file by now: the one that was mapped by it."""
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
                return
        raise InputError(f"{self.path} was replaced while it was opened: open it again")
