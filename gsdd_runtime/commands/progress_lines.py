"""How far a command is: a bar on a terminal, a line a minute elsewhere."""

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
    """Says on stderr where a run stands, once a minute, the first time after one."""
    last = clock()
    began: dict[str, tuple[float, int]] = {}

    def report(progress: Progress) -> None:
        nonlocal last
        now = clock()
        since, first = began.setdefault(progress.phase, (now, progress.step))
        if now - last < SECONDS_A_LINE:
            return
        last = now
        words = [f"{progress.phase}: {progress.step} of {progress.total}"]
        if progress.loss is not None:
            words.append(f"loss {progress.loss:.4g}")
        if progress.step > first and now > since:
            rate = (progress.step - first) / (now - since)
            words.append(f"{rate:.3g}/s, {time_in_words((progress.total - progress.step) / rate)} left")
        say(", ".join(words))

    return report


@contextmanager
def progress_bar() -> Iterator[Reporter]:
    """Draws reports on stderr: phase, bar, rate, loss, time left. A line a minute where stderr is no terminal.

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
