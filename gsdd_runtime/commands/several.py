"""The table of one or several runs of distilling, from their logs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsdd_runtime.wording import time_in_words

if TYPE_CHECKING:
    from gsdd_runtime.sets.distilled_set import DistilledSet


@dataclass(frozen=True)
class RunDocument:
    """What is told of a run.

    Attributes:
        name: of the set's file.
        seed: of the run.
        nbytes: of the file.
        end: the last record of its log; empty where that is lost.
    """

    name: str
    seed: int | None
    nbytes: int
    end: dict[str, Any]


def run_document(path: Path, distilled: DistilledSet) -> RunDocument:
    """Of the finished run at ``path``."""
    from gsdd_runtime.distillation.journal import is_log, last_of, read_log
    from gsdd_runtime.formats import log_path

    log = log_path(path)
    end = last_of(read_log(log), "end") if is_log(log) else None
    return RunDocument(path.name, distilled.seed, path.stat().st_size, end or {})


def table(runs: Sequence[RunDocument]) -> str:
    """A line a run, and one of means and deviations where there are several."""
    judged = any(run.end.get("best") for run in runs)
    header = ["set", "seed", "bytes", "PSNR of the fit", "last loss"]
    header += ["last step", "best step (chosen by it)"] if judged else []
    rows = [[*header, "time"], *(_row(run, judged) for run in runs)]
    if len(runs) > 1:
        rows.append(_means(runs, judged))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _row(run: RunDocument, judged: bool) -> list[str]:
    end, best = run.end, run.end.get("best") or {}
    cells = [run.name, str(run.seed), str(run.nbytes)]
    cells += [_told(end.get("psnr"), "{:.2f} dB"), _told(end.get("loss"), "{:.5g}")]
    if judged:
        step = f" at {best['step']}" if best else ""
        cells += [_percent(end.get("last")), _percent(best.get("accuracy")) + step]
    return [*cells, _told(end.get("total_seconds"), "{}", time_in_words)]


def _means(runs: Sequence[RunDocument], judged: bool) -> list[str]:
    def over(read: Any, form: str, scale: float = 1.0) -> str:
        values = [read(run) for run in runs]
        if any(not isinstance(value, (int, float)) for value in values):
            return ""
        deviation = form.format(scale * statistics.pstdev(values))
        return f"{form.format(scale * statistics.fmean(values))} +- {deviation}"

    cells = [f"mean of {len(runs)}", "", over(lambda run: run.nbytes, "{:.0f}")]
    cells += [over(lambda run: run.end.get("psnr"), "{:.2f}"), over(lambda run: run.end.get("loss"), "{:.5g}")]
    if judged:
        cells.append(over(lambda run: run.end.get("last"), "{:.2f}", 100) + " %")
        cells.append(over(lambda run: (run.end.get("best") or {}).get("accuracy"), "{:.2f}", 100) + " %")
    return [*cells, ""]


def _told(value: Any, form: str, words: Any = None) -> str:
    if not isinstance(value, (int, float)):
        return "-"
    return form.format(value if words is None else words(value))


def _percent(value: Any) -> str:
    return _told(value, "{:.2f} %", lambda share: 100 * share)
