"""Files in an archive (.zip, .tar, .tar.gz) as if they lay in folders: listed once, then read one by one into memory.

Nothing is unpacked onto the disk. A zip and a plain tar are read where a file lies in them, by several threads; what
gzip holds has no such places, and is kept in memory whole.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from gsdd_runtime.datasets.images import SUFFIXES
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.memory import check_memory
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.wording import bytes_in_words

# Of one file of an archive: pictures and lists of names.
MAX_FILE_BYTES = 1 << 28
# Of an archive: ImageNet has 1.4 million.
MAX_FILES = 1 << 22
# What all files of an archive may have: so many times its own bytes, and this beside. Pictures hardly shrink.
MAX_RATIO, FREE_BYTES = 200, 1 << 30
# With a file in it, and without.
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP_MAGIC = b"\x1f\x8b"
_PART = 1 << 22
# Files between two reports of progress.
_REPORTED = 1000
_REMEDY = "fetch the archive again, from its official place"
_BROKEN = (EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, NotImplementedError)


@dataclass(frozen=True, slots=True)
class _Entry:
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
    entries: dict[str, _Entry] = field(default_factory=dict)
    source: zipfile.ZipFile | IO[bytes] | bytes = b""
    _left: int = 0

    def __post_init__(self) -> None:
        status = os.stat(self.path)
        self._left = MAX_RATIO * status.st_size + FREE_BYTES
        self.identity = f"{os.path.abspath(self.path)}\0{status.st_size} {status.st_mtime_ns}"

    def __del__(self) -> None:
        if not isinstance(self.source, bytes):
            self.source.close()

    def add(self, name: str, entry: _Entry | None) -> None:
        """Adds a file, or a folder where there is no entry."""
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts or "\0" in name:
            raise InputError(f"{self.path} holds the name {name[:200]!a}, which leads out of it: {_REMEDY}")
        path = "" if str(inner) == "." else str(inner)
        if entry is None:
            self._folder(path, name)
            return
        if not path or path in self.entries or path in self.folders:
            raise InputError(f"{self.path}: {name[:200]!a} comes twice: {_REMEDY}")
        if len(self.entries) >= MAX_FILES:
            raise InputError(f"{self.path} holds more than {MAX_FILES} files: is it the archive its name says?")
        self._left -= entry.size
        if self._left < 0:
            raise InputError(f"{self.path} would unpack to more than {MAX_RATIO} times its size: {_REMEDY}")
        parent, _, own = path.rpartition("/")
        self._folder(parent, name)
        self.folders[parent][own] = None
        self.entries[path] = entry

    def _folder(self, path: str, name: str) -> None:
        missing = []
        while path not in self.folders:
            if path in self.entries:
                raise InputError(f"{self.path}: {name[:200]!a} is in a file and not in a folder: {_REMEDY}")
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
            raise InputError(f"{self.path} lacks {path}: {_REMEDY}")
        if entry.size > MAX_FILE_BYTES:
            raise InputError(
                f"{self.path}: {path} has {bytes_in_words(entry.size)}, at most {bytes_in_words(MAX_FILE_BYTES)} are "
                f"read: {_REMEDY}"
            )
        try:
            content = self._content(entry)
        # Zip raises a plain RuntimeError where a password is asked for.
        except (*_BROKEN, RuntimeError) as error:
            raise InputError(f"{self.path}: {path} is damaged or encrypted ({_in_a_line(error)}): {_REMEDY}") from error
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error
        if len(content) != entry.size:
            raise InputError(f"{self.path}: {path} ends early: {_REMEDY}")
        return content

    def _content(self, entry: _Entry) -> bytes:
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


def open_archive(path: Path, *, nested: bool = False, progress: Reporter = silent) -> PackedPath:
    """The whole of an archive.

    Args:
        path: a .zip, .tar or .tar.gz, whatever it is called.
        nested: a ``NAME.tar`` in a tar is the folder ``NAME``, as in ImageNet's.
        progress: told of the files that were found.

    Raises:
        InputError: it cannot be read, is none of these, is damaged; holds a name that leads out of it, a picture that
            is a link, a file twice, more files or bytes than any dataset, or more than memory where gzip packs it.
    """
    with reading(path):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path} is no ordinary file: give a folder or an archive")
        archive = Archive(path)
    try:
        with open(path, "rb") as file:
            packed_by_zip = file.read(len(_ZIP_MAGIC[0])) in _ZIP_MAGIC
        if packed_by_zip:
            _list_zip(archive)
        else:
            _open_tar(archive)
            _list_tar(archive, _stream_of(archive), "", 0, nested, progress)
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(
            f"{path} is no .zip, .tar or .tar.gz, or is damaged ({_in_a_line(error)}): {_REMEDY}"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return PackedPath(archive)


def _list_zip(archive: Archive) -> None:
    archive.source = source = zipfile.ZipFile(archive.path)
    for info in source.infolist():
        if info.is_dir():
            archive.add(info.filename, None)
        elif stat.S_ISLNK(info.external_attr >> 16):
            _check_link(archive, info.filename)
        else:
            archive.add(info.filename, _Entry(info, info.file_size))


def _open_tar(archive: Archive) -> None:
    # It is read from as long as the archive is in use.
    file = open(archive.path, "rb")  # noqa: SIM115
    if file.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
        archive.source = file
        return
    with file:
        file.seek(0)
        archive.source = _unpacked(archive.path, file)


def _unpacked(path: Path, file: IO[bytes]) -> bytes:
    """What gzip holds, as long as there is memory for it."""
    parts, size = io.BytesIO(), 0
    with gzip.GzipFile(fileobj=file) as unpacker:
        while part := unpacker.read(_PART):
            size += len(part)
            if size > MAX_RATIO * os.stat(path).st_size + FREE_BYTES:
                raise InputError(f"{path} unpacks to more than {MAX_RATIO} times its size: {_REMEDY}")
            # Growing copies what is there.
            check_memory(size, f"{path}, unpacked", "unpack it and give the folder, or pack it as a zip or a plain tar")
            parts.write(part)
    return parts.getvalue()


def _stream_of(archive: Archive) -> IO[bytes]:
    if isinstance(archive.source, bytes):
        return io.BytesIO(archive.source)
    assert not isinstance(archive.source, zipfile.ZipFile)
    archive.source.seek(0)
    return archive.source


def _list_tar(archive: Archive, stream: IO[bytes], prefix: str, offset: int, nested: bool, progress: Reporter) -> None:
    """Adds what a tar holds.

    Args:
        archive: to be added to.
        stream: the tar.
        prefix: of all names, ending with ``/`` where there is one.
        offset: of the tar's first byte in the archive.
        nested, progress: see :func:`open_archive`.
    """
    total = os.stat(archive.path).st_size >> 20
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for count, member in enumerate(_members(tar, stream)):
            name = prefix + member.name
            if member.isdir():
                archive.add(name, None)
            elif not member.isreg() or member.issparse():
                _check_link(archive, name)
            elif nested and not prefix and name.endswith(".tar"):
                inside: Any = _Part(stream, member.offset_data, member.size)
                _list_tar(archive, inside, f"{name.removesuffix('.tar')}/", member.offset_data, False, silent)
                progress(Progress("list archive", (member.offset_data + member.size) >> 20, total))
            else:
                archive.add(name, _Entry(offset + member.offset_data, member.size))
            if not prefix and not nested and count % _REPORTED == 0:
                progress(Progress("list archive", min(member.offset_data >> 20, total), total))


def _members(tar: tarfile.TarFile, stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        # It would go backwards, and round for ever.
        if member.size < 0:
            raise tarfile.ReadError("a file of less than no bytes")
        yield member
        # It would keep the headers of millions.
        tar.members = []  # type: ignore[attr-defined]
    # Where a header is damaged, it takes the rest for nothing.
    stream.seek(tar.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("a damaged header, or no end")


class _Part(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._start + self._at)
        content = self._file.read(wanted)
        self._at += len(content)
        return content


def _check_link(archive: Archive, name: str) -> None:
    """Raises InputError where something that is no file is called as a picture; else it is passed over."""
    if name.lower().endswith(SUFFIXES):
        raise InputError(f"{archive.path}: {name[:200]!a} is a link or no file: unpack the archive and give the folder")


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
