"""Files in an archive (.zip, .tar, .tar.gz) as if they lay in folders: listed once, then read one by one into memory.

Nothing is unpacked onto the disk. A zip and a plain tar are read where a file lies in them, by several threads; what
gzip holds has no such places, and is kept in memory whole. ``archive_listing`` opens one.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import bytes_in_words

# Of one file of an archive: pictures and lists of names.
MAX_FILE_BYTES = 1 << 28
# Of an archive: ImageNet has 1.4 million.
MAX_FILES = 1 << 22
# What all files of an archive may have: so many times its own bytes, and this beside. Pictures hardly shrink.
MAX_RATIO, FREE_BYTES = 200, 1 << 30
REMEDY = "fetch the archive again, from its official place"
BROKEN = (
    EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, NotImplementedError,
    UnicodeDecodeError,
)  # fmt: skip


def most_bytes(path: Path) -> int:
    """What the files of the archive ``path`` may have together, in bytes."""
    return MAX_RATIO * os.stat(path).st_size + FREE_BYTES


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive: where its bytes begin in a tar, or what it is called in a zip; how many they are."""

    place: int | zipfile.ZipInfo
    size: int


@dataclass(eq=False)
class Archive:
    """What an archive holds.

    Attributes:
        path: the file.
        folders: names in each folder, by its path within; that of all is ``""``.
        entries: the files, by their path within.
    """

    path: Path
    folders: dict[str, dict[str, None]] = field(default_factory=lambda: {"": {}})
    entries: dict[str, Entry] = field(default_factory=dict)
    source: zipfile.ZipFile | IO[bytes] | bytes = b""
    _left: int = 0

    def __post_init__(self) -> None:
        status = os.stat(self.path)
        self._left = most_bytes(self.path)
        self.identity = f"{os.path.abspath(self.path)}\0{status.st_size} {status.st_mtime_ns}"

    def __del__(self) -> None:
        if not isinstance(self.source, bytes):
            self.source.close()

    def add(self, name: str, entry: Entry | None) -> None:
        """Adds a file, or a folder where there is no entry."""
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts or "\0" in name:
            raise InputError(f"{self.path} holds the name {name[:200]!a}, which leads out of it: {REMEDY}")
        path = "" if str(inner) == "." else str(inner)
        if entry is None:
            self._folder(path, name)
            return
        if not path or path in self.entries or path in self.folders:
            raise InputError(f"{self.path}: {name[:200]!a} comes twice: {REMEDY}")
        if len(self.entries) >= MAX_FILES:
            raise InputError(f"{self.path} holds more than {MAX_FILES} files: is it the archive its name says?")
        self._left -= entry.size
        if self._left < 0:
            raise InputError(f"{self.path} would unpack to more than {MAX_RATIO} times its size: {REMEDY}")
        parent, _, own = path.rpartition("/")
        self._folder(parent, name)
        self.folders[parent][own] = None
        self.entries[path] = entry

    def _folder(self, path: str, name: str) -> None:
        missing = []
        while path not in self.folders:
            if path in self.entries:
                raise InputError(f"{self.path}: {name[:200]!a} is in a file and not in a folder: {REMEDY}")
            missing.append(path)
            path = path.rpartition("/")[0]
        for inner in reversed(missing):
            parent, _, own = inner.rpartition("/")
            self.folders[parent][own] = None
            self.folders[inner] = {}
        if len(self.folders) > MAX_FILES:
            raise InputError(f"{self.path} holds more than {MAX_FILES} folders: is it the archive its name says?")

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            InputError: there is none, it is damaged, encrypted, or of more than ``MAX_FILE_BYTES``.
        """
        entry = self.entries.get(path)
        if entry is None:
            raise InputError(f"{self.path} lacks {path}: {REMEDY}")
        if entry.size > MAX_FILE_BYTES:
            raise InputError(
                f"{self.path}: {path} has {bytes_in_words(entry.size)}, at most {bytes_in_words(MAX_FILE_BYTES)} are "
                f"read: {REMEDY}"
            )
        try:
            content = self._content(entry)
        # Zip raises a plain RuntimeError where a password is asked for.
        except (*BROKEN, RuntimeError) as error:
            raise InputError(f"{self.path}: {path} is damaged or encrypted ({in_a_line(error)}): {REMEDY}") from error
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error
        if len(content) != entry.size:
            raise InputError(f"{self.path}: {path} ends early: {REMEDY}")
        return content

    def _content(self, entry: Entry) -> bytes:
        if isinstance(entry.place, zipfile.ZipInfo):
            assert isinstance(self.source, zipfile.ZipFile)
            with self.source.open(entry.place) as file:
                return file.read(entry.size)
        if isinstance(self.source, bytes):
            return self.source[entry.place : entry.place + entry.size]
        assert not isinstance(self.source, zipfile.ZipFile)
        return os.pread(self.source.fileno(), entry.size, entry.place)


@dataclass(frozen=True, slots=True)
class PackedPath:
    """A file or a folder of an archive, to be used as a ``pathlib.Path`` where one is read from.

    Attributes:
        archive: that it is in.
        inner: its path within, ``""`` for the whole.
    """

    archive: Archive
    inner: str = ""

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.inner}" if self.inner else str(self.archive.path)

    def __truediv__(self, name: str) -> PackedPath:
        return PackedPath(self.archive, f"{self.inner}/{name}" if self.inner else name)

    @property
    def name(self) -> str:
        return PurePosixPath(self.inner).name if self.inner else self.archive.path.name

    @property
    def identity(self) -> str:
        """Tells it from any other file, also from one of that name in an archive that has changed."""
        return f"{self.archive.identity}\0{self.inner}"

    def is_dir(self) -> bool:
        return self.inner in self.archive.folders

    def is_file(self) -> bool:
        return self.inner in self.archive.entries

    def names(self) -> list[str]:
        """Of what is in the folder.

        Raises:
            InputError: it is none.
        """
        if not self.is_dir():
            raise InputError(f"cannot read the folder {self}: No such file or directory")
        return list(self.archive.folders[self.inner])

    def open(self, mode: str = "rb") -> BinaryIO:
        """The content, in memory; raises as :meth:`Archive.read`. There is no other mode."""
        return io.BytesIO(self.archive.read(self.inner))


# Where pictures and lists of names are read from.
AnyPath = Path | PackedPath


def in_a_line(error: BaseException) -> str:
    """What an archive's reader said, as a part of our own message."""
    return " ".join(str(error).split())[:200]
