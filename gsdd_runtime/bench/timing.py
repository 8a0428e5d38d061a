"""Timing several things fairly on a machine that may be busy: interleaved, in rounds, medians and spread."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# Shorter spans measure the clock and the scheduler more than the work.
_SHORTEST_SPAN = 0.05


@dataclass(frozen=True)
class Timed:
    """Something to time: ``run()`` does ``images`` images."""

    run: Callable[[], object]
    images: int


def interleaved_rounds(subjects: Mapping[str, Timed], rounds: int, tick: Callable[[], None]) -> dict[str, list[float]]:
    """Images per second of every subject in every round; every round runs all of them, each time from another first.

    A subject repeats within a round until it has taken 50 ms; one run ahead of the rounds warms it up and sets how
    often.
    """
    repeats = {}
    for name, subject in subjects.items():
        subject.run()
        repeats[name] = max(1, math.ceil(_SHORTEST_SPAN / _seconds(subject.run, 1)))
        tick()
    speeds: dict[str, list[float]] = {name: [] for name in subjects}
    order = list(subjects)
    for _ in range(rounds):
        for name in order:
            seconds = _seconds(subjects[name].run, repeats[name])
            speeds[name].append(subjects[name].images * repeats[name] / seconds)
            tick()
        order = order[1:] + order[:1]
    return speeds


def _seconds(run: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return time.perf_counter() - start


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, and the lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
