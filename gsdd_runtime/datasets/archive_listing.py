"""Opening an archive: what it holds is listed, and refused where it leads out of it or is more than a dataset's."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from gsdd_runtime.datasets.images import SUFFIXES
from gsdd_runtime.datasets.packed import (
    BROKEN,
    MAX_RATIO,
    REMEDY,
    Archive,
    Entry,
    PackedPath,
    in_a_line,
    most_bytes,
)
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.memory import check_memory
from gsdd_runtime.progress import Progress, Reporter, silent

# With a file in it, and without.
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP_MAGIC = b"\x1f\x8b"
_PART = 1 << 22
# Files between two reports of progress.
_REPORTED = 1000


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
            stream = _stream_of(archive)
            _list_tar(archive, _Part(stream, 0, stream.seek(0, os.SEEK_END)), "", 0, nested, progress)
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{path} is no .zip, .tar or .tar.gz, or is damaged ({in_a_line(error)}): {REMEDY}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return PackedPath(archive)


def _list_zip(archive: Archive) -> None:
    archive.source = source = zipfile.ZipFile(archive.path)
    for info in source.infolist():
        # Not ``is_dir``, which fails where there is no name at all.
        if info.filename.endswith("/"):
            archive.add(info.filename, None)
        elif stat.S_ISLNK(info.external_attr >> 16):
            _check_link(archive, info.filename)
        else:
            archive.add(info.filename, Entry(info, info.file_size))


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
            if size > most_bytes(path):
                raise InputError(f"{path} unpacks to more than {MAX_RATIO} times its size: {REMEDY}")
            # Growing copies what is there.
            check_memory(size, f"{path}, unpacked", "unpack it and give the folder, or pack it as a zip or a plain tar")
            parts.write(part)
    return parts.getvalue()


def _stream_of(archive: Archive) -> IO[bytes]:
    if isinstance(archive.source, bytes):
        return io.BytesIO(archive.source)
    assert not isinstance(archive.source, zipfile.ZipFile)
    return archive.source


def _list_tar(archive: Archive, stream: _Part, prefix: str, offset: int, nested: bool, progress: Reporter) -> None:
    """Adds what a tar holds.

    Args:
        archive: to be added to.
        stream: the tar.
        prefix: of all names, ending with ``/`` where there is one.
        offset: of the tar's first byte in the archive.
        nested, progress: see :func:`open_archive`.
    """
    total = os.stat(archive.path).st_size >> 20
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as tar:
        for count, member in enumerate(_members(tar, stream)):
            name = prefix + member.name
            if member.isdir():
                archive.add(name, None)
            elif not member.isreg() or member.issparse():
                _check_link(archive, name)
            elif nested and not prefix and name.endswith(".tar"):
                inside = stream.part(member.offset_data, member.size)
                _list_tar(archive, inside, f"{name.removesuffix('.tar')}/", member.offset_data, False, silent)
                progress(Progress("list archive", (member.offset_data + member.size) >> 20, total))
            else:
                archive.add(name, Entry(offset + member.offset_data, member.size))
            if not prefix and not nested and count % _REPORTED == 0:
                progress(Progress("list archive", min(member.offset_data >> 20, total), total))


def _members(tar: tarfile.TarFile, stream: _Part) -> Iterator[tarfile.TarInfo]:
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
    """A part of a file, as a file. It may be told to seek to, and to read, what no file has: a header says any size."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def part(self, start: int, size: int) -> _Part:
        """A part of it, as far as it goes."""
        return _Part(self._file, self._start + start, max(0, min(size, self._size - start)))

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
        if not wanted:
            return b""
        self._file.seek(self._start + self._at)
        content = self._file.read(wanted)
        self._at += len(content)
        return content


def _check_link(archive: Archive, name: str) -> None:
    """Raises InputError where something that is no file is called as a picture; else it is passed over."""
    if name.lower().endswith(SUFFIXES):
        raise InputError(f"{archive.path}: {name[:200]!a} is a link or no file: unpack the archive and give the folder")
