"""IDX files, the format of MNIST: a big-endian header, then unsigned bytes; gzip-compressed or not."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_READ_PART = 1 << 20
# A header that promises more is wrong, whatever follows: the whole of MNIST is 47 MB.
MAX_PAYLOAD = 1 << 30
_REMEDY = "fetch the file again"


def read_idx(path: str | os.PathLike[str], dimensions: int) -> Tensor:
    """The uint8 tensor in an IDX file, gzip-compressed or not (its first bytes tell, not its name).

    Raises:
        InputError: the file cannot be read, is no IDX file of unsigned bytes with so many ``dimensions``,
            ends early, goes on after its last number, or its compressed data is broken.
    """
    path = Path(path)
    try:
        with open(path, "rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _read(raw, path, dimensions)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read(unpacked, path, dimensions)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip data is corrupt ({error}): {_REMEDY}") from error
    except EOFError as error:
        raise InputError(f"{path}: the gzip data ends early: {_REMEDY}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _read(file: IO[bytes] | gzip.GzipFile, path: Path, dimensions: int) -> Tensor:
    head = file.read(4 + 4 * dimensions)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise InputError(f"{path} is not an IDX file: it should start with two zero bytes")
    if head[2] != _UNSIGNED_BYTE or head[3] != dimensions:
        raise InputError(
            f"{path}: expected {dimensions} dimensions of unsigned bytes (magic "
            f"0x{_UNSIGNED_BYTE:02x}{dimensions:02x}), "
            f"got magic 0x{head[2]:02x}{head[3]:02x}: is it the file its name says?"
        )
    if len(head) < 4 + 4 * dimensions:
        raise InputError(f"{path} ends in its header: {_REMEDY}")
    shape = struct.unpack(f">{dimensions}I", head[4:])
    expected = 1
    for length in shape:
        expected *= length
    if not 0 < expected <= MAX_PAYLOAD:
        raise InputError(
            f"{path}: the header says {'x'.join(map(str, shape))} numbers, out of 1 to {MAX_PAYLOAD}: {_REMEDY}"
        )
    payload = bytearray()
    while len(payload) <= expected:
        part = file.read(min(_READ_PART, expected + 1 - len(payload)))
        if not part:
            break
        payload += part
    if len(payload) < expected:
        raise InputError(f"{path} ends early: {expected} bytes should follow the header, {len(payload)} do: {_REMEDY}")
    if len(payload) > expected:
        raise InputError(f"{path} goes on after its last number: {expected} bytes should follow the header: {_REMEDY}")
    return torch.frombuffer(payload, dtype=torch.uint8).view(shape)
