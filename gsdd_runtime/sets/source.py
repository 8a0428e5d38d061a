"""The file that a set was read from: which one it is, and whether a mapped one is still what it was."""

from __future__ import annotations

import hashlib
import os
import weakref
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from gsdd_runtime.errors import InputError


@dataclass(frozen=True)
class Identity:
    """Tells a file from another that took its name, and from itself before it was changed in place.

    Attributes:
        path: absolute.
        size: bytes.
        changed: when it was last written, in nanoseconds.
        header: SHA-256 of its header.
    """

    path: str
    size: int
    changed: int
    header: str

    @classmethod
    def of(cls, path: str | os.PathLike[str], status: os.stat_result, header: bytes) -> Identity:
        """Of a file with that status and header."""
        digest = hashlib.sha256(header).hexdigest()
        return cls(os.path.abspath(path), status.st_size, status.st_mtime_ns, digest)


class Source:
    """The open file under mapped tensors.

    Reading a page that was cut off the file would end the process, so ``check`` comes before each use.

    Args:
        path: of the file.
        file: open; it may be closed afterwards.
        identity: of it when its header was read.
        header_bytes: with the eight that give its length.
    """

    def __init__(self, path: Path, file: BinaryIO, identity: Identity, header_bytes: int) -> None:
        self.path = path
        self.identity = identity
        self._header_bytes = header_bytes
        # A bare descriptor: a file object would warn when it is collected, and no caller closes a set.
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def check(self) -> None:
        """Raises InputError if the file was cut short, or changed in place, since it was opened."""
        status = os.fstat(self._descriptor)
        if status.st_size < self.identity.size:
            raise InputError(
                f"{self.path} was cut short while in use ({self.identity.size} bytes, now {status.st_size}): "
                "restore and reopen it"
            )
        if (status.st_size, status.st_mtime_ns) != (self.identity.size, self.identity.changed):
            raise InputError(
                f"{self.path} was changed while in use: reopen it, or call verify() if it was only touched"
            )

    def renew(self) -> bool:
        """Takes the file as it is now, if its size and header are what they were. Returns whether it was written to.

        Raises:
            InputError: they are not.
        """
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) == (self.identity.size, self.identity.changed):
            return False
        if status.st_size < self.identity.size:
            self.check()
        now = Identity.of(self.path, status, os.pread(self._descriptor, self._header_bytes, 0)[8:])
        if (now.size, now.header) != (self.identity.size, self.identity.header):
            raise InputError(f"{self.path} was rewritten while in use: reopen it")
        self.identity = replace(self.identity, changed=now.changed)
        return True

    def check_name(self) -> None:
        """Raises InputError if the path leads to another file by now: the one that was mapped by it."""
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
                return
        raise InputError(f"{self.path} was replaced while it was opened: open it again")
