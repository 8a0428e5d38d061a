"""How far a command is: a bar on a terminal, a line a minute and one at the end elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gsdd_runtime import ranks
from gsdd_runtime.progress import Progress, Reporter, say, silent
from gsdd_runtime.wording import time_in_words

# Between two lines where stderr is no terminal.
SECONDS_A_LINE = 60.0


def line_a_minute(clock: Callable[[], float] = time.monotonic) -> Reporter:
    """Says on stderr where a run stands, once a minute, the first time after one.

    The end of a phase that was told of is told too, whenever it comes.
    """
    last = clock()
    began: dict[str, tuple[float, int]] = {}
    told: set[str] = set()

    def report(progress: Progress) -> None:
        nonlocal last
        now, phase = clock(), progress.phase
        since, first = began.setdefault(phase, (now, progress.step))
        ended = progress.step >= progress.total
        if now - last >= SECONDS_A_LINE or (ended and phase in told):
            last = now
            told.add(phase)
            say(", ".join([*_standing(progress), *_pace(progress, first, now - since)]))
        if ended:
            # Another of the same name begins anew.
            told.discard(phase)
            del began[phase]

    return report


def _standing(progress: Progress) -> list[str]:
    loss = [] if progress.loss is None else [f"loss {progress.loss:.4g}"]
    return [f"{progress.phase}: {progress.step} of {progress.total}", *loss]


def _pace(progress: Progress, first: int, seconds: float) -> list[str]:
    """Of a phase that was at ``first`` so many seconds ago."""
    if progress.step <= first or seconds <= 0:
        return []
    rate = (progress.step - first) / seconds
    left = progress.total - progress.step
    return [f"{rate:.3g}/s", *([f"{time_in_words(left / rate)} left"] if left > 0 else [])]


@contextmanager
def progress_bar() -> Iterator[Reporter]:
    """Draws reports on stderr: phase, bar, rate, loss, time left. Lines where stderr is no terminal.

    Of several processes that share a run, the first alone draws.
    """
    if not ranks.joined().first:
        yield silent
        return
    if not sys.stderr.isatty():
        yield line_a_minute()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=False) as bars:
        tasks: dict[str, Any] = {}

        def report(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bars.add_task(progress.phase, total=progress.total, rate="", loss="")
            task = tasks[progress.phase]
            speed = bars.tasks[task].speed
            bars.update(
                task,
                completed=progress.step,
                total=progress.total,
                rate=f"{speed:.1f}/s" if speed else "",
                loss="" if progress.loss is None else f"loss {progress.loss:.4g}",
            )

        yield report
