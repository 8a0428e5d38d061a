"""Range asymmetric numeral systems (Duda, arXiv 1311.2540): tokens to 16-bit words by tables of frequencies.

Several states work side by side, token ``i`` of a run on state ``i mod lanes``, so that NumPy moves them at once.
Frequencies sum to 4096; states stay in ``[2^16, 2^32)``. All of it is whole numbers: the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsdd_runtime.errors import InputError

PRECISION = 12
TOTAL = 1 << PRECISION
LOWEST = 1 << 16
# Tables that one stream may have: 16 KiB each while it is decoded.
MAX_TABLES = 1024

Words = NDArray[np.uint16]
States = NDArray[np.uint64]


@dataclass(frozen=True)
class Run:
    """Tokens that are coded one after the other, each by the table of its number."""

    tables: NDArray[np.int64]
    tokens: NDArray[np.int64]


def frequencies(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Weights ``[tokens]``, at least one above 0, scaled to sum to ``TOTAL``; none above 0 falls to 0.

    Raises:
        InputError: more tokens than fit.
    """
    used = weights > 0
    if not 1 <= int(used.sum()) <= TOTAL // 2:
        raise InputError(f"a table of the coded set has {int(used.sum())} tokens, 1 to {TOTAL // 2} are possible")
    scaled = np.where(used, np.maximum(weights * TOTAL // int(weights.sum()), 1), 0)
    excess = int(scaled.sum()) - TOTAL
    while excess != 0:
        # The largest take the difference: what that costs is least there.
        largest = int(scaled.argmax())
        change = min(excess, int(scaled[largest]) // 2) if excess > 0 else excess
        scaled[largest] -= change
        excess -= change
    return scaled


def encode(runs: Sequence[Run], tables: Sequence[NDArray[np.int64]], lanes: int) -> tuple[States, Words]:
    """The final states ``[lanes]`` and the words, in the order in which :class:`Decoder` wants them."""
    frequency = np.stack(tables).astype(np.uint64)
    start = (np.cumsum(frequency, axis=1) - frequency).astype(np.uint64)
    states = np.full(lanes, LOWEST, np.uint64)
    words: list[Words] = []
    for run in reversed(runs):
        counts, starts = frequency[run.tables, run.tokens], start[run.tables, run.tokens]
        for first in reversed(range(0, len(run.tokens), lanes)):
            count, below = counts[first : first + lanes], starts[first : first + lanes]
            state = states[: len(count)]
            full = state >= count << np.uint64(32 - PRECISION)
            words.append((state[full] & np.uint64(0xFFFF)).astype(np.uint16))
            state = np.where(full, state >> np.uint64(16), state)
            states[: len(count)] = (state // count << np.uint64(PRECISION)) + state % count + below
    return states, np.concatenate([np.zeros(0, np.uint16), *reversed(words)])


class Decoder:
    """Gives back the tokens of :func:`encode`, run by run.

    Args:
        tables: frequencies ``[tokens]`` each, which sum to ``TOTAL``.
        states: ``[lanes]``.
        words: what is left to read.
    """

    def __init__(self, tables: Sequence[NDArray[np.int64]], states: States, words: States) -> None:
        slots = [np.repeat(np.arange(len(table)), table) for table in tables]
        self._tokens = np.concatenate(slots).astype(np.uint8)
        counts = [table[slot] for table, slot in zip(tables, slots, strict=True)]
        offsets = [np.arange(TOTAL) - (np.cumsum(table) - table)[s] for table, s in zip(tables, slots, strict=True)]
        self._moves = (np.concatenate(counts) << 16 | np.concatenate(offsets)).astype(np.uint64)
        self._states = states.copy()
        self._words = words
        self._read = 0

    def tokens(self, tables: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next tokens, as many as ``tables``, each by the table of its number.

        Raises:
            InputError: the words end too early.
        """
        lanes = len(self._states)
        found = np.empty(len(tables), np.int64)
        bases = (tables << PRECISION).astype(np.uint64)
        for first in range(0, len(tables), lanes):
            base = bases[first : first + lanes]
            state = self._states[: len(base)]
            places = base + (state & np.uint64(TOTAL - 1))
            found[first : first + lanes] = places
            moves = self._moves[places]
            state = (moves >> np.uint64(16)) * (state >> np.uint64(PRECISION)) + (moves & np.uint64(0xFFFF))
            low = np.flatnonzero(state < LOWEST)
            read = self._read + len(low)
            if read > len(self._words):
                raise InputError("the coded set ends too early")
            state[low] = state[low] << np.uint64(16) | self._words[self._read : read]
            self._states[: len(base)] = state
            self._read = read
        return self._tokens[found].astype(np.int64)

    def finish(self) -> None:
        """Raises InputError unless every word was read and every state is where encoding began."""
        if self._read != len(self._words) or bool((self._states != LOWEST).any()):
            raise InputError("the coded set does not end where it should")
