"""The tables of a plane: how often each token comes under each context, as they are stored and as they are used.

A plane's tables are stored as the lowest context (i8) and how many contexts there are (u8, at least 1); then for each,
how many tokens (u8) and a weight for each token, half a byte or, where they are ``fine``, a byte. A weight w above 0
means ``(2 + w % 2) << w // 2`` as half a byte and ``(16 + w % 16) << w // 16`` as a byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding import rans, tokens
from gsdd_runtime.sets.coding.tokens import Numbers


@dataclass(frozen=True)
class Plane:
    """The tables of a plane.

    Attributes:
        lowest: the context of the first.
        tables: the stored weights of each.
    """

    lowest: int
    tables: list[Numbers]

    def numbers(self, contexts: Numbers, first: int) -> Numbers:
        """The number of each context's table, or of the nearest, where those of the plane begin at ``first``."""
        return np.clip(contexts - self.lowest, 0, len(self.tables) - 1) + first

    def pack(self, fine: bool) -> bytes:
        """As it is stored."""
        parts = [struct.pack("<bB", self.lowest, len(self.tables))]
        for table in self.tables:
            parts += [bytes([len(table)]), _pack_table(table, fine)]
        return b"".join(parts)


def byte(data: bytes, place: int) -> tuple[int, int]:
    """The byte at ``place`` of a stream, and the place behind it.

    Raises:
        InputError: the stream ends before it.
    """
    if place >= len(data):
        raise InputError("the coded set ends in its tables")
    return data[place], place + 1


def read_plane(data: bytes, place: int, fine: bool) -> tuple[Plane, int]:
    """What :meth:`Plane.pack` wrote at ``place``, and the place behind it.

    Raises:
        InputError: the stream ends before it, or there is no such plane.
    """
    if place + 2 > len(data):
        raise InputError("the coded set ends in its tables")
    lowest, count = struct.unpack_from("<bB", data, place)
    place += 2
    if count == 0:
        raise InputError("the coded set has a plane without tables")
    found = []
    for _ in range(count):
        size, place = byte(data, place)
        length = size if fine else (size + 1) // 2
        if not 1 <= size <= tokens.TOKENS or place + length > len(data):
            raise InputError("the coded set has a table that is too long")
        packed = np.frombuffer(data, np.uint8, length, place).astype(np.int64)
        found.append(packed if fine else np.stack((packed & 15, packed >> 4), axis=1).ravel()[:size])
        place += length
    return Plane(lowest, found), place


def _pack_table(codes: Numbers, fine: bool) -> bytes:
    if fine:
        return codes.astype(np.uint8).tobytes()
    pairs = np.pad(codes, (0, len(codes) % 2)).reshape(-1, 2)
    return (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).tobytes()


def _weights(codes: Numbers, fine: bool) -> Numbers:
    """What the stored weights of a table mean; 0 is a token that never comes."""
    bits = 4 if fine else 1
    return np.where(codes > 0, (codes % (1 << bits)) + (1 << bits) << codes // (1 << bits), 0)


def frequencies(codes: Numbers, fine: bool) -> Numbers:
    """Frequencies ``[TOKENS]`` of a stored table."""
    weights = np.zeros(tokens.TOKENS, np.int64)
    weights[: len(codes)] = _weights(codes, fine)
    return rans.frequencies(weights)


def _codes(counts: NDArray[np.int64], fine: bool) -> Numbers:
    """The stored weights nearest to ``counts``, up to the last that is not 0."""
    known, edges = _KNOWN[fine]
    nearest = np.searchsorted(edges, counts * (int(known[-1]) / int(counts.max()))) + 1
    return np.where(counts > 0, nearest, 0)[: int(counts.nonzero()[0][-1]) + 1]


def _known(fine: bool) -> tuple[Numbers, NDArray[np.float64]]:
    """What every stored weight means, and between which numbers which is the nearest."""
    known = _weights(np.arange(256 if fine else 16), fine)
    return known, np.sqrt(known[1:-1] * known[2:])


_KNOWN = (_known(False), _known(True))


def merged(coded: Numbers, contexts: Numbers, fine: bool) -> Plane:
    """Tables of a plane: outer contexts are taken together as long as that saves bits."""
    if len(coded) == 0:
        return Plane(0, [np.ones(1, np.int64)])
    lowest, highest = int(contexts.min()), int(contexts.max())
    shape = (highest - lowest + 1, tokens.TOKENS)
    counts = np.bincount((contexts - lowest) * tokens.TOKENS + coded, minlength=shape[0] * shape[1]).reshape(shape)
    groups = [_Group.of(row, fine) for row in counts]
    for end, next_one in ((0, 1), (-1, -2)):
        while len(groups) > 1:
            together = _Group.of(groups[end].counts + groups[next_one].counts, fine)
            if together.bits > groups[end].bits + groups[next_one].bits:
                break
            groups[next_one] = together
            del groups[end]
            lowest += end == 0
    return Plane(lowest, [group.table for group in groups])


@dataclass(frozen=True)
class _Group:
    """Contexts with one table: how often each token comes, the table as it is stored, the bits that both take."""

    counts: Numbers
    table: Numbers
    bits: float

    @classmethod
    def of(cls, counts: Numbers, fine: bool) -> _Group:
        if not counts.any():
            # A context inside that nothing uses still has a table: the shortest.
            return cls(counts, np.ones(1, np.int64), 8.0)
        table = _codes(counts, fine)
        (used,) = counts.nonzero()
        taken = float((counts[used] * (rans.PRECISION - np.log2(frequencies(table, fine)[used]))).sum())
        return cls(counts, table, taken + len(table) * (8 if fine else 4) + 8)
