"""Whole numbers as a token, which is entropy-coded, and low bits, which are written as they are.

Numbers below 8 are tokens themselves; above, the token holds the power of two and the two bits below the leading
one, and the rest is plain. Tables stay small that way, at less than a tenth of a bit lost a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Numbers are below 2^MAX_BITS.
MAX_BITS = 20
_DIRECT_BITS = 3
_LEADING_BITS = 2
DIRECT = 1 << _DIRECT_BITS
TOKENS = DIRECT + (MAX_BITS - _DIRECT_BITS << _LEADING_BITS)

Numbers = NDArray[np.int64]
# How many plain bits follow each token, and the number that the token alone stands for.
_EXPONENTS = np.concatenate(
    [np.zeros(DIRECT, np.int64), np.repeat(np.arange(MAX_BITS - _DIRECT_BITS), 1 << _LEADING_BITS) + 1]
)
WIDTHS: Numbers = np.where(_EXPONENTS > 0, _EXPONENTS - 1 + _DIRECT_BITS - _LEADING_BITS, 0)
_MANTISSAS = (np.arange(TOKENS) - DIRECT) % (1 << _LEADING_BITS) + (1 << _LEADING_BITS)
BASES: Numbers = np.where(_EXPONENTS > 0, _MANTISSAS << WIDTHS, np.arange(TOKENS))


def split(numbers: Numbers) -> tuple[Numbers, Numbers]:
    """Tokens, and the plain bits below them, of numbers from 0 to ``2^MAX_BITS - 1``."""
    tokens = np.searchsorted(BASES, numbers, side="right") - 1
    return tokens, numbers - BASES[tokens]


def fold(signed: NDArray[Any]) -> NDArray[Any]:
    """Signed numbers as 0, -1, 1, -2, 2, ... are numbered: 0, 1, 2, 3, 4, ..."""
    return np.where(signed < 0, -2 * signed - 1, 2 * signed)


def unfold(numbers: NDArray[Any]) -> NDArray[Any]:
    """What :func:`fold` was given."""
    # All bits of -1 turn k into -k - 1, those of 0 leave it.
    return numbers >> 1 ^ -(numbers & 1)
