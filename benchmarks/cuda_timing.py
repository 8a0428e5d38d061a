"""Timing on the GPU by events: interleaved rounds, medians and spread. In a rehearsal the CPU stands in for it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Shorter spans measure launches more than work.
_SHORTEST_SPAN = 0.02


def seconds_of(run: Callable[[], object], repeats: int) -> float:
    """Mean seconds of ``repeats`` runs, queued back to back."""
    if DEVICE == "cpu":
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        return (time.perf_counter() - began) / repeats
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / repeats


def interleaved(subjects: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of one run of each subject: median, lowest and highest over the rounds.

    Every round runs all of them, each time from another first; a warm-up sets how often a subject repeats.
    """
    repeats = {}
    for name, run in subjects.items():
        for _ in range(3):
            run()
        repeats[name] = max(1, math.ceil(_SHORTEST_SPAN / max(seconds_of(run, 3), 1e-6)))
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    order = list(subjects)
    for _ in range(rounds):
        for name in order:
            seconds[name].append(seconds_of(subjects[name], repeats[name]))
        order = order[1:] + order[:1]
    return {
        name: {"median": statistics.median(values), "low": min(values), "high": max(values)}
        for name, values in seconds.items()
    }
