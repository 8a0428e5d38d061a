"""A coded stream: planes of whole numbers, each under contexts known before it is read.

Layout, little-endian: version (u8); lanes (u32); words (u32); bytes of plain bits (u32); the tables; the states (u32
each); the words (u16 each); the plain bits. The tables stand plane by plane: plane (u8), 255 at the end; lowest context
(i8); how many contexts (u8, at least 1); then for each, how many tokens (u8) and their weights, half a byte or, where
``fine`` is set in the next byte, a byte each. A weight w above 0 means ``(2 + w % 2) << w // 2`` as half a byte and
``(16 + w % 16) << w // 16`` as a byte. Contexts outside the range of a plane count as its nearest.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding import rans, tokens
from gsdd_runtime.sets.coding.tokens import Numbers

VERSION = 1
_HEADER = struct.Struct("<BIIIB")
_END = 255
# Numbers that one state codes, and fewer than twice as many: each state costs four bytes.
_PER_LANE = 4096
_MAX_LANES = 1 << 13
# Numbers that are looked at at once: what the caches hold.
_PART = 1 << 14
# Contexts in the order in which an int8, read as a byte, numbers them: 0 to 127, then -128 to -1.
_CONTEXTS = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
_BASES = tokens.BASES.astype(np.int32)
# Tokens from which weights of a byte pay for themselves.
_FINE_TOKENS = 1 << 19


@dataclass
class _Plane:
    lowest: int
    tables: list[Numbers]

    def numbers(self, contexts: Numbers, first: int) -> Numbers:
        return np.clip(contexts - self.lowest, 0, len(self.tables) - 1) + first


class Writer:
    """Collects planes; ``finish`` codes them."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, Numbers, Numbers, Numbers]] = []
        # What each plane took, filled in when the stream is finished.
        self.bits: dict[int, float] = {}

    def write(self, plane: int, numbers: NDArray[Any], contexts: NDArray[Any]) -> None:
        """Adds ``numbers``, from 0 to 2^20 - 1, under ``contexts``, from -128 to 127, to ``plane``, 0 to 254.

        Raises:
            InputError: a number that is too large.
        """
        numbers = numbers.ravel()
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < 1 << tokens.MAX_BITS:
            raise InputError("a number is too large to be coded: round more coarsely")
        self._parts.append((plane, *tokens.split(numbers), np.clip(contexts.ravel(), -128, 127).astype(np.int64)))

    def finish(self) -> bytes:
        """All of it as bytes."""
        count = sum(len(part[1]) for part in self._parts)
        fine = count >= _FINE_TOKENS
        planes, preamble = self._tables(fine)
        first: dict[int, int] = {}
        tables: list[Numbers] = []
        for number, plane in planes.items():
            first[number] = len(tables)
            tables += [_frequencies(table, fine) for table in plane.tables]
        runs = [
            rans.Run(planes[plane].numbers(contexts, first[plane]), coded) for plane, coded, _, contexts in self._parts
        ]
        frequency = np.stack(tables)
        for run, (number, coded, _, _) in zip(runs, self._parts, strict=True):
            taken = rans.PRECISION * len(coded) - np.log2(frequency[run.tables, coded]).sum()
            self.bits[number] = self.bits.get(number, 0.0) + float(taken) + float(tokens.WIDTHS[coded].sum())
        lanes = min(_MAX_LANES, max(1, count // _PER_LANE))
        states, words = rans.encode(runs, tables, lanes)
        plain = _pack([(tokens.WIDTHS[coded], low) for _, coded, low, _ in self._parts])
        header = _HEADER.pack(VERSION, lanes, len(words), len(plain), fine)
        return b"".join((header, preamble, states.astype("<u4").tobytes(), words.astype("<u2").tobytes(), plain))

    def _tables(self, fine: bool) -> tuple[dict[int, _Plane], bytes]:
        parts = defaultdict(list)
        for plane, coded, _, contexts in self._parts:
            parts[plane].append((coded, contexts))
        planes, preamble = {}, []
        for plane in sorted(parts):
            coded = np.concatenate([part[0] for part in parts[plane]])
            contexts = np.concatenate([part[1] for part in parts[plane]])
            planes[plane] = made = _merged(coded, contexts, fine)
            preamble.append(struct.pack("<BbB", plane, made.lowest, len(made.tables)))
            for table in made.tables:
                preamble.append(bytes([len(table)]))
                preamble.append(_pack_table(table, fine))
        return planes, b"".join((*preamble, bytes([_END])))


class Reader:
    """Reads what :class:`Writer` wrote, plane by plane in the same order.

    Raises:
        InputError: the bytes are no such stream, or are of a newer version.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER.size:
            raise InputError("the coded set ends in its header")
        version, lanes, words, plain, fine = _HEADER.unpack_from(data)
        if version != VERSION:
            raise InputError(f"the coded set is of coder version {version}, this gsdd-rt reads {VERSION}")
        place = _HEADER.size
        # Of each plane, the number of the table for each context.
        self._planes: dict[int, NDArray[np.intp]] = {}
        tables: list[Numbers] = []
        while True:
            plane, place = _byte(data, place)
            if plane == _END:
                break
            made, place = _read_plane(data, place, bool(fine))
            if plane in self._planes or len(tables) + len(made.tables) > rans.MAX_TABLES:
                raise InputError("the coded set has a plane twice, or too many tables")
            self._planes[plane] = made.numbers(_CONTEXTS, len(tables)).astype(np.intp)
            tables += [_frequencies(table, bool(fine)) for table in made.tables]
        if not tables or not 1 <= lanes <= _MAX_LANES or place + 4 * lanes + 2 * words + plain != len(data):
            raise InputError("the coded set is not as long as its header says")
        states = np.frombuffer(data, "<u4", lanes, place).astype(np.uint32)
        coded = np.frombuffer(data, "<u2", words, place + 4 * lanes).astype(np.uint16)
        if bool((states < rans.LOWEST).any()):
            raise InputError("the coded set has a state out of range")
        # Time goes by the numbers of a lane: a reader takes no more of them than a writer gives it.
        self._left = math.inf if lanes == _MAX_LANES else 2 * _PER_LANE * lanes
        self._decoder = rans.Decoder(tables, states, coded)
        self._plain = _Bits(data[len(data) - plain :])

    def read(self, plane: int, contexts: NDArray[Any], *, folded: bool = False) -> NDArray[np.int32]:
        """The next numbers of ``plane``, as many and of the shape of their ``contexts``, unfolded if they are folded.

        Contexts of int8 are read fastest.

        Raises:
            InputError: the stream ends too early, has no such plane, or has fewer lanes than so many numbers take.
        """
        if plane not in self._planes:
            raise InputError(f"the coded set lacks plane {plane}")
        self._left -= contexts.size
        if self._left < 0:
            raise InputError("the coded set has too few lanes for its numbers")
        within = contexts if contexts.dtype == np.int8 else np.clip(contexts, -128, 127)
        coded = self._decoder.tokens(within.astype(np.int8).ravel().view(np.uint8), self._planes[plane])
        found = np.empty(len(coded), np.int32)
        for start in range(0, len(coded), _PART):
            part, numbers = coded[start : start + _PART], found[start : start + _PART]
            _BASES.take(part, out=numbers, mode="clip")
            (split,) = (part >= tokens.DIRECT).nonzero()
            if len(split):
                numbers[split] += self._plain.take(tokens.WIDTHS.take(part[split]))
            if folded:
                numbers[:] = tokens.unfold(numbers)
        return found.reshape(contexts.shape)

    def finish(self) -> None:
        """Raises InputError unless all was read."""
        self._decoder.finish()
        self._plain.finish()


def _byte(data: bytes, place: int) -> tuple[int, int]:
    if place >= len(data):
        raise InputError("the coded set ends in its tables")
    return data[place], place + 1


def _read_plane(data: bytes, place: int, fine: bool) -> tuple[_Plane, int]:
    if place + 2 > len(data):
        raise InputError("the coded set ends in its tables")
    lowest, count = struct.unpack_from("<bB", data, place)
    place += 2
    if count == 0:
        raise InputError("the coded set has a plane without tables")
    found = []
    for _ in range(count):
        size, place = _byte(data, place)
        length = size if fine else (size + 1) // 2
        if not 1 <= size <= tokens.TOKENS or place + length > len(data):
            raise InputError("the coded set has a table that is too long")
        packed = np.frombuffer(data, np.uint8, length, place).astype(np.int64)
        found.append(packed if fine else np.stack((packed & 15, packed >> 4), axis=1).ravel()[:size])
        place += length
    return _Plane(lowest, found), place


def _pack_table(codes: Numbers, fine: bool) -> bytes:
    if fine:
        return codes.astype(np.uint8).tobytes()
    pairs = np.pad(codes, (0, len(codes) % 2)).reshape(-1, 2)
    return (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).tobytes()


def _weights(codes: Numbers, fine: bool) -> Numbers:
    """What the stored weights of a table mean; 0 is a token that never comes."""
    bits = 4 if fine else 1
    return np.where(codes > 0, (codes % (1 << bits)) + (1 << bits) << codes // (1 << bits), 0)


def _frequencies(codes: Numbers, fine: bool) -> Numbers:
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


def _merged(coded: Numbers, contexts: Numbers, fine: bool) -> _Plane:
    """Tables of a plane: outer contexts are taken together as long as that saves bits."""
    if len(coded) == 0:
        return _Plane(0, [np.ones(1, np.int64)])
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
    return _Plane(lowest, [group.table for group in groups])


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
        taken = float((counts[used] * (rans.PRECISION - np.log2(_frequencies(table, fine)[used]))).sum())
        return cls(counts, table, taken + len(table) * (8 if fine else 4) + 8)


def _pack(parts: list[tuple[Numbers, Numbers]]) -> bytes:
    """Plain bits, the highest of each number first."""
    total = sum(int(widths.sum()) for widths, _ in parts)
    packed = np.zeros((total + 7 >> 3) + 3, np.uint8)
    begun = 0
    for widths, values in parts:
        for first in range(0, len(widths), _PART):
            (split,) = widths[first : first + _PART].nonzero()
            if len(split):
                begun = _put(packed, begun, widths[first + split], values[first + split])
    return packed[:-3].tobytes()


def _put(packed: NDArray[np.uint8], begun: int, widths: Numbers, values: Numbers) -> int:
    """Adds numbers of ``widths`` bits behind the ``begun`` first bits; returns how many there are then."""
    ends = begun + np.cumsum(widths)
    starts = ends - widths
    lowest = begun >> 3
    places = (starts >> 3) - lowest
    # A number touches up to four bytes; no two touch the same bit, so that adding is as good as or.
    windows = values << 32 - (starts & 7) - widths
    for step in range(4):
        added = np.bincount(places, windows >> 24 - 8 * step & 0xFF).astype(np.uint8)
        packed[lowest + step : lowest + step + len(added)] += added
    return int(ends[-1])


class _Bits:
    """Plain bits, read in runs."""

    def __init__(self, data: bytes) -> None:
        self._total = 8 * len(data)
        self._bytes = np.frombuffer(data + bytes(4), np.uint8)
        self._read = 0

    def take(self, widths: Numbers) -> Numbers:
        ends = np.cumsum(widths)
        ends += self._read
        last = int(ends[-1])
        if last > self._total:
            raise InputError("the coded set ends too early")
        starts = ends - widths
        # Four bytes from every byte on that one of these numbers may begin in.
        lowest = self._read >> 3
        around = self._bytes[lowest : (last >> 3) + 4].astype(np.int64)
        windows = around[:-3] << 24 | around[1:-2] << 16 | around[2:-1] << 8 | around[3:]
        found = windows.take((starts >> 3) - lowest)
        starts &= 7
        starts += widths
        found >>= 32 - starts
        found &= (1 << widths) - 1
        self._read = last
        return found

    def finish(self) -> None:
        if self._total - self._read >= 8:
            raise InputError("the coded set does not end where it should")
