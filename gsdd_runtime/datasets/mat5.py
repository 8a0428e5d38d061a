"""Arrays of numbers and of simple structures in a MAT file of level 5 (``-v6`` and ``-v7``), and nothing else of it."""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gsdd_runtime.datasets.packed import AnyPath
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.wording import bytes_in_words

# The training part of SVHN is 225 MB.
MAX_BYTES = 1 << 29
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
# Numbers of the format: how they are stored, and which class an array is of.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_STRUCTURE, _TEXT = 2, 4
# How texts are stored.
_TEXTS = {1: "ascii", 2: "ascii", 4: "utf-16-{}", 16: "utf-8"}
_COMPLEX = 0x0800
_MAX_DIMENSIONS = 8
# ImageNet's classes and their groups are 1,860.
_MAX_STRUCTURES = 1 << 16
_REMEDY = "fetch the file again"


def read_mat(path: str | os.PathLike[str], names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays called ``names``, as many as the file holds, in the order of MATLAB (the first index runs fastest).

    Raises:
        InputError: the file cannot be read, is no MAT file of level 5, is damaged, or holds more than ``MAX_BYTES``;
            one of the arrays is not of real numbers.
    """
    path = Path(path)
    content, order = _content(path)
    with _damage_of(path):
        return _arrays(content, order, names, path)


def read_mat_structs(path: AnyPath, name: str, fields: Collection[str]) -> list[dict[str, float | str | None]]:
    """The elements of the array of structures called ``name``: of each, those ``fields`` that are one number or a text.

    A field that is something else, or is not there, is None.

    Raises:
        InputError: as :func:`read_mat`, or there is no such array.
    """
    content, order = _content(path)
    with _damage_of(path):
        for data in _matrices(content, order, path):
            parts = _elements(data, order)
            number, shape, title = _head(parts, order)
            if title == name and number == _STRUCTURE:
                return list(_structures(parts, order, math.prod(shape), fields))
    raise InputError(f"{path} holds no array of structures {name}: is it the file its name says?")


def _content(path: AnyPath) -> tuple[bytes, str]:
    """The file, and the order of its bytes."""
    with reading(str(path)), path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} is more than {bytes_in_words(MAX_BYTES)}: is it the file its name says?")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) < _HEADER or struct.unpack(f"{order}H", content[124:126])[0] != 0x0100:
        raise InputError(f"{path} is no MAT file of level 5: is it the file its name says?")
    return content, order


@contextmanager
def _damage_of(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except (struct.error, ValueError, IndexError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({' '.join(str(error).split())[:200]}): {_REMEDY}") from error


def _arrays(content: bytes, order: str, names: Collection[str], path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for data in _matrices(content, order, path):
        name, array = _array(_elements(data, order), order, names, path)
        if name in names:
            if name in found:
                raise ValueError(f"{name} comes twice")
            found[name] = array
    return found


def _matrices(content: bytes, order: str, path: AnyPath) -> Iterator[memoryview]:
    """The bytes of each variable, unpacked."""
    left = MAX_BYTES
    for kind, data in _elements(memoryview(content)[_HEADER:], order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(data, left + 1)
            left -= len(unpacked)
            if left < 0:
                raise InputError(f"{path} unpacks to more than {bytes_in_words(MAX_BYTES)}: {_REMEDY}")
            if not unpacker.eof:
                raise ValueError("compressed data that ends early")
            (kind, data), *_ = _elements(memoryview(unpacked), order)
        if kind == _MATRIX:
            yield data


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Kind and bytes of each element; those of up to four bytes stand in their own tag."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack(f"{order}II", data[at : at + 8])
        if kind >> 16:
            kind, length = kind & 0xFFFF, kind >> 16
            start, end = at + 4, at + 8
            if length > 4:
                raise ValueError("a short element of more than four bytes")
        else:
            start = at + 8
            end = start + length + (0 if kind == _COMPRESSED else -length % 8)
        if start + length > len(data):
            raise ValueError("an element that ends early")
        yield kind, data[start : start + length]
        at = end


def _head(parts: Iterator[tuple[int, memoryview]], order: str) -> tuple[int, tuple[int, ...], str]:
    """Number of the class, shape and name of a variable."""
    (_, flags), (_, sides), (_, title) = (next(parts, (0, memoryview(b""))) for _ in range(3))
    (flag,) = struct.unpack(f"{order}I", flags[:4])
    return flag & 0xFF, tuple(np.frombuffer(sides, f"{order}i4").tolist()), bytes(title).decode("ascii", "replace")


def _structures(
    parts: Iterator[tuple[int, memoryview]], order: str, count: int, fields: Collection[str]
) -> Iterator[dict[str, float | str | None]]:
    (_, width), (_, names) = (next(parts, (0, memoryview(b""))) for _ in range(2))
    (length,) = struct.unpack(f"{order}i", width[:4])
    if length < 1 or not names or len(names) % length:
        raise ValueError("names of fields")
    # Those without bytes of their own cost memory too.
    if not 0 <= count <= _MAX_STRUCTURES:
        raise ValueError(f"an array of {count} structures")
    known = [
        bytes(names[at : at + length]).split(b"\0")[0].decode("ascii", "replace") for at in range(0, len(names), length)
    ]
    for _ in range(count):
        held: dict[str, float | str | None] = dict.fromkeys(fields)
        for name in known:
            kind, data = next(parts, (0, memoryview(b"")))
            if kind != _MATRIX:
                raise ValueError("structures that end early")
            if name in fields:
                held[name] = _simple(data, order)
        yield held


def _simple(data: memoryview, order: str) -> float | str | None:
    """One number or a text, of the variable in ``data``."""
    parts = _elements(data, order)
    number, shape, _ = _head(parts, order)
    kind, content = next(parts, (0, memoryview(b"")))
    if number == _TEXT and kind in _TEXTS:
        return bytes(content).decode(_TEXTS[kind].format("le" if order == "<" else "be"), "replace")
    if number not in _CLASSES or math.prod(shape) != 1 or kind not in _STORED:
        return None
    return float(np.frombuffer(content, f"{order}{_STORED[kind]}")[0])


def _array(
    parts: Iterator[tuple[int, memoryview]], order: str, names: Collection[str], path: Path
) -> tuple[str, np.ndarray]:
    (_, flags), (_, sides), (_, title) = (next(parts, (0, memoryview(b""))) for _ in range(3))
    name = bytes(title).decode("ascii", "replace")
    if name not in names:
        return name, np.zeros(0)
    (flag,) = struct.unpack(f"{order}I", flags[:4])
    number = _CLASSES.get(flag & 0xFF)
    if number is None or flag & _COMPLEX:
        raise InputError(f"{path}: {name} is no array of real numbers: {_REMEDY}, from its official place")
    shape = tuple(np.frombuffer(sides, f"{order}i4").tolist())
    if not 2 <= len(shape) <= _MAX_DIMENSIONS or min(shape) < 0:
        raise ValueError(f"{name} of {len(shape)} dimensions")
    kind, data = next(parts, (0, memoryview(b"")))
    if kind not in _STORED:
        raise ValueError(f"{name} stored as kind {kind}")
    stored = np.dtype(f"{order}{_STORED[kind]}")
    if math.prod(shape) * stored.itemsize != len(data):
        raise ValueError(f"{name} of {len(data)} bytes, shape {'x'.join(map(str, shape))}")
    return name, np.frombuffer(data, stored).reshape(shape, order="F").astype(number, copy=False)
