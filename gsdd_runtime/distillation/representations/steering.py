"""Steering the bytes of coded images towards a budget: how far to move at a look, and when to look next."""

# Moves of the optimiser between two looks at the bytes: so many at first, and twice as many after each that found them
# within a share of the budget.
INTERVAL, _LONGEST_INTERVAL = 25, 400
_NEAR = 0.01
# How far a look moves towards the budget.
_GAIN = 0.5


def coarser(taken: int, budget: int, count: int, bits_an_octave: float) -> float:
    """What steps are multiplied by towards a budget of bytes; twice as coarse ones spare each number so many bits."""
    octaves = _GAIN * 8 * (taken - budget) / count / bits_an_octave
    return float(2.0 ** min(max(octaves, -1.0), 1.0))


def until_next(interval: float, taken: int, budget: int, *, finest: bool) -> float:
    """Moves until the next look at the bytes, where there were ``interval`` until this one.

    More where the bytes are within a share of the budget, above or below it, or where less than it is taken and steps
    are the ``finest`` that there are.
    """
    settled = abs(taken - budget) <= _NEAR * budget or (finest and taken <= budget)
    return min(2 * interval, _LONGEST_INTERVAL) if settled else INTERVAL
