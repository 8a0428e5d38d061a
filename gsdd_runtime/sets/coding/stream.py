"""A coded stream: planes of whole numbers, each under contexts known before it is read.

Layout, little-endian: version (u8); lanes (u32); words (u32); bytes of plain bits (u32); whether tables are fine (u8);
the tables; the states (u32 each); the words (u16 each); the plain bits. The tables stand plane by plane: plane (u8),
255 at the end; then its tables. Contexts outside the range of a plane count as its nearest.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding import rans, tokens
from gsdd_runtime.sets.coding.plain import Bits, pack
from gsdd_runtime.sets.coding.tables import Plane, byte, frequencies, merged, read_plane
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
            tables += [frequencies(table, fine) for table in plane.tables]
        runs = [
            rans.Run(planes[plane].numbers(contexts, first[plane]), coded) for plane, coded, _, contexts in self._parts
        ]
        frequency = np.stack(tables)
        for run, (number, coded, _, _) in zip(runs, self._parts, strict=True):
            taken = rans.PRECISION * len(coded) - np.log2(frequency[run.tables, coded]).sum()
            self.bits[number] = self.bits.get(number, 0.0) + float(taken) + float(tokens.WIDTHS[coded].sum())
        lanes = min(_MAX_LANES, max(1, count // _PER_LANE))
        states, words = rans.encode(runs, tables, lanes)
        plain = pack([(tokens.WIDTHS[coded], low) for _, coded, low, _ in self._parts])
        header = _HEADER.pack(VERSION, lanes, len(words), len(plain), fine)
        return b"".join((header, preamble, states.astype("<u4").tobytes(), words.astype("<u2").tobytes(), plain))

    def _tables(self, fine: bool) -> tuple[dict[int, Plane], bytes]:
        parts = defaultdict(list)
        for plane, coded, _, contexts in self._parts:
            parts[plane].append((coded, contexts))
        planes, preamble = {}, []
        for plane in sorted(parts):
            coded = np.concatenate([part[0] for part in parts[plane]])
            contexts = np.concatenate([part[1] for part in parts[plane]])
            planes[plane] = made = merged(coded, contexts, fine)
            preamble += [bytes([plane]), made.pack(fine)]
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
            plane, place = byte(data, place)
            if plane == _END:
                break
            made, place = read_plane(data, place, bool(fine))
            if plane in self._planes or len(tables) + len(made.tables) > rans.MAX_TABLES:
                raise InputError("the coded set has a plane twice, or too many tables")
            self._planes[plane] = made.numbers(_CONTEXTS, len(tables)).astype(np.intp)
            tables += [frequencies(table, bool(fine)) for table in made.tables]
        if not tables or not 1 <= lanes <= _MAX_LANES or place + 4 * lanes + 2 * words + plain != len(data):
            raise InputError("the coded set is not as long as its header says")
        states = np.frombuffer(data, "<u4", lanes, place).astype(np.uint32)
        coded = np.frombuffer(data, "<u2", words, place + 4 * lanes).astype(np.uint16)
        if bool((states < rans.LOWEST).any()):
            raise InputError("the coded set has a state out of range")
        # Time goes by the numbers of a lane: a reader takes no more of them than a writer gives it.
        self._left = math.inf if lanes == _MAX_LANES else 2 * _PER_LANE * lanes
        self._decoder = rans.Decoder(tables, states, coded)
        self._plain = Bits(data[len(data) - plain :])

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
