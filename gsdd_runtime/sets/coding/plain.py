"""Plain bits: what tokens leave of numbers, written as it is, the highest bit of each number first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding.tokens import Numbers

# Numbers that are looked at at once: what the caches hold.
_PART = 1 << 14


def pack(parts: list[tuple[Numbers, Numbers]]) -> bytes:
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


class Bits:
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
