"""Files of an archive (.tar, .tar.gz) read into memory: nothing is unpacked onto the disk."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import bytes_in_words

# Official archives unpack to 200 MB at most.
MAX_UNPACKED_BYTES = 1 << 30
_MAX_MEMBERS = 10_000
_GZIP_MAGIC = b"\x1f\x8b"
_DRAINED = 1 << 20
# Of tarfile, to find out that an archive is over.
_READS_AT_END = 8
_REMEDY = "fetch the archive again, from its official place"


def read_archive(path: Path, wanted: Mapping[str, int]) -> dict[str, bytes]:
    """The contents of those files of an archive that are ``wanted``, by their names in it.

    Args:
        path: the archive.
        wanted: names, with ``/``, and the most bytes that each may have.

    Raises:
        InputError: it cannot be read, is no archive, is damaged, unpacks to more than ``MAX_UNPACKED_BYTES``; holds a
            name that leads out of it, a wanted file that is none, comes twice or is larger than it may be.
    """
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            stream = _Bounded(gzip.GzipFile(fileobj=raw) if packed else raw, path)
            # It asks of a stream no more than to be read.
            with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
                found = _read(archive, path, wanted)
            # The checksum of gzip stands at the end.
            while stream.read(_DRAINED):
                pass
            return found
    except InputError:
        raise
    except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is a damaged archive ({' '.join(str(error).split())[:200]}): {_REMEDY}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


class _Bounded:
    """A stream that refuses to go on for ever: a few kilobytes may unpack to as many gigabytes.

    Nor does it end for ever: tarfile passes over an entry of any size that a header says in reads of ten kilobytes.
    """

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._left = MAX_UNPACKED_BYTES
        self._at_end = 0

    def read(self, size: int) -> bytes:
        part = self._stream.read(min(size, self._left + 1))
        self._left -= len(part)
        self._at_end += not part
        if self._at_end > _READS_AT_END:
            raise EOFError("unexpected end of data")
        if self._left < 0:
            raise InputError(f"{self._path} unpacks to more than {bytes_in_words(MAX_UNPACKED_BYTES)}: {_REMEDY}")
        return part


def _read(archive: tarfile.TarFile, path: Path, wanted: Mapping[str, int]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for count, member in enumerate(archive):
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
            raise InputError(f"{path} holds the name {member.name[:200]!a}, which leads out of it: {_REMEDY}")
        if count >= _MAX_MEMBERS:
            raise InputError(f"{path} holds more than {_MAX_MEMBERS} files: is it the archive its name says?")
        if str(name) not in wanted:
            continue
        limit = wanted[str(name)]
        file = archive.extractfile(member) if member.isreg() else None
        if file is None or str(name) in found:
            raise InputError(f"{path}: {name} {'comes twice' if str(name) in found else 'is no file'}: {_REMEDY}")
        if member.size > limit:
            raise InputError(f"{path}: {name} has {member.size} bytes, at most {limit} are expected: {_REMEDY}")
        found[str(name)] = file.read(limit)
        if len(found[str(name)]) < member.size:
            raise InputError(f"{path}: {name} ends early: {_REMEDY}")
    return found
