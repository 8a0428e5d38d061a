"""Range asymmetric numeral systems (Duda, arXiv 1311.2540): tokens to 16-bit words by tables of frequencies.

Several states work side by side, token ``i`` of a run on state ``i mod lanes``, so that NumPy moves them at once.
Frequencies sum to 4096; states stay in ``[2^16, 2^32)``. All of it is whole numbers: the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsdd_runtime.errors import InputError

PRECISION = 12
TOTAL = 1 << PRECISION
LOWEST = 1 << 16
# Where the token stands in what a decoder looks up, above 13 bits of a frequency and 12 of an offset.
_TOKEN = 2 * PRECISION + 1
# Tables that one stream may have: 16 KiB each while it is decoded.
MAX_TABLES = 1024

Words = NDArray[np.uint16]
States = NDArray[np.uint32]


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
    counts = np.stack(tables)
    starts = np.cumsum(counts, axis=1) - counts
    states = np.full(lanes, LOWEST, np.uint32)
    words: list[States] = []
    for run in reversed(runs):
        count = counts[run.tables, run.tokens]
        # From the largest state that a token can be added to, what is added for each whole count in it, and always.
        parts = ((count << 32 - PRECISION) - 1, count, TOTAL - count, starts[run.tables, run.tokens])
        for most, each, gap, start in _rows_reversed([part.astype(np.uint32) for part in parts], lanes):
            state = states[: len(each)]
            (full,) = (state > most).nonzero()
            if len(full):
                large = state[full]
                words.append(large)
                state[full] = large >> 16
            times = state // each
            times *= gap
            state += times
            state += start
    return states, np.concatenate([np.zeros(0, np.uint32), *reversed(words)]).astype(np.uint16)


def _rows_reversed(parts: Sequence[States], lanes: int) -> Iterator[tuple[States, ...]]:
    """Arrays of one length together, ``lanes`` at a time, from the last, which may be fewer."""
    whole = len(parts[0]) // lanes * lanes
    if whole < len(parts[0]):
        yield tuple(part[whole:] for part in parts)
    yield from zip(*(part[:whole].reshape(-1, lanes)[::-1] for part in parts), strict=True)


class Decoder:
    """Gives back the tokens of :func:`encode`, run by run.

    Args:
        tables: frequencies ``[tokens]`` each, which sum to ``TOTAL``; at most 128 tokens.
        states: ``[lanes]``.
        words: what is left to read.
    """

    def __init__(self, tables: Sequence[NDArray[np.int64]], states: States, words: Words) -> None:
        # A part of a table: its token, how many parts that has, and the how-manieth of them it is.
        moves = []
        for table in tables:
            token = np.repeat(np.arange(len(table)), table)
            offset = np.arange(TOTAL) - (np.cumsum(table) - table)[token]
            moves.append((token << _TOKEN | table[token] << PRECISION | offset).astype(np.uint32))
        self._moves = np.concatenate(moves)
        self._states = states.copy()
        self._words = words
        self._read = 0

    def tokens(self, contexts: NDArray[np.uint8], tables: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The next tokens, as many as ``contexts``, each by the table whose number ``tables`` has at its context.

        Raises:
            InputError: the words end too early.
        """
        lanes = len(self._states)
        starts = tables << PRECISION
        found = np.empty(len(contexts), np.uint8)
        places, low, moves = np.empty(lanes, np.intp), np.empty(lanes, np.uint32), np.empty(lanes, np.uint32)
        for first in range(0, len(contexts), lanes):
            part = contexts[first : first + lanes]
            size = len(part)
            state, place, rest, move = self._states[:size], places[:size], low[:size], moves[:size]
            # All of it is within its bounds: "clip" spares the check.
            starts.take(part, out=place, mode="clip")
            np.bitwise_and(state, TOTAL - 1, out=rest)
            place += rest
            self._moves.take(place, out=move, mode="clip")
            np.right_shift(move, _TOKEN, out=found[first : first + size], casting="unsafe")
            np.right_shift(move, PRECISION, out=rest)
            rest &= 2 * TOTAL - 1
            state >>= PRECISION
            state *= rest
            move &= TOTAL - 1
            state += move
            (small,) = (state < LOWEST).nonzero()
            read = self._read + len(small)
            if read > len(self._words):
                raise InputError("the coded set ends too early")
            state[small] = state[small] << 16 | self._words[self._read : read]
            self._read = read
        return found

    def finish(self) -> None:
        """Raises InputError unless every word was read and every state is where encoding began."""
        if self._read != len(self._words) or bool((self._states != LOWEST).any()):
            raise InputError("the coded set does not end where it should")
