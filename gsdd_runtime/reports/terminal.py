"""A run as text: a line for each record of its log, or a view with a curve for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gsdd_runtime.reports.account import PHASES, Records, curves, run_status
from gsdd_runtime.wording import bytes_in_words

# Of a curve, in characters; it is as wide as the terminal, up to a limit.
CURVE_LINES, MOST_COLUMNS = 8, 100
# Dots of a braille character: bit by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def step_line(record: Mapping[str, Any]) -> str:
    """Where a run stood at a record of its steps, in one line."""
    words = [f"{PHASES.get(str(record['phase']), record['phase'])}: step {record['step']:,} of {record['total']:,}"]
    return ", ".join([*words, *(f"{name} {value}" for name, value in _figures(record, nested=False))])


def _figures(record: Mapping[str, Any], *, nested: bool) -> Iterator[tuple[str, str]]:
    """Names and values of what a record of a step tells; parts of the loss are set in where ``nested``."""
    yield "loss", _short(record.get("loss"))
    for name, value in {**(record.get("parts") or {}), **(record.get("learned") or {})}.items():
        yield f"{'  ' if nested else ''}{name}", _short(value)
    for name in ("learning_rate", "steps_per_second", "images_per_second"):
        if record.get(name) is not None:
            yield name.replace("_per_", " a ").replace("_", " "), _short(record[name])
    for name in ("memory", "device_memory"):
        size = record.get(f"{name}_bytes")
        if isinstance(size, int):
            yield name.replace("_", " "), bytes_in_words(size)


def _short(value: Any) -> str:
    """A number in four digits; one that is not finite is a word in a log."""
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class RunText:
    """What a terminal shows of a run, as wide as it is.

    Args:
        name: of the run, for people.
        records: of its log.
        ended: whether it goes on no more.
    """

    def __init__(self, name: str, records: Records, *, ended: bool = False) -> None:
        self.name = name
        self.records = records
        self.ended = ended

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text.assemble((self.name, "bold"), "  ", run_status(self.records, ended=self.ended))
        step = next((one for one in reversed(self.records) if one.get("record") == "step"), None)
        if step is None:
            return
        columns = min(options.max_width, MOST_COLUMNS)
        far = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=step["total"], completed=step["step"], width=max(1, columns - 6))
        far.add_row(bar, f"{100 * step['step'] / (step['total'] or 1):.0f} %")
        yield far
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim")
        rows.add_column(justify="right")
        for name, value in _figures(step, nested=True):
            rows.add_row(Text(name), Text(value))
        yield rows
        for curve in _of_phase(curves(self.records), step["phase"]):
            yield Text(f"\n{curve['title']}", style="bold")
            for line in curve_lines(curve["points"], columns, log=curve["log"], braille=_has_braille(options.encoding)):
                yield Text(line, no_wrap=True)


def _of_phase(found: list[dict[str, Any]], phase: str) -> list[dict[str, Any]]:
    """The curve of a phase's loss, and what is no loss."""
    return [curve for curve in found if curve["title"] == f"Loss, {PHASES.get(phase, phase)}" or not curve["log"]]


def _has_braille(encoding: str) -> bool:
    return encoding.lower().startswith("utf")


def curve_lines(
    points: Sequence[Sequence[float]], columns: int, lines: int = CURVE_LINES, *, log: bool, braille: bool = True
) -> list[str]:
    """A curve drawn in characters, its largest and least value at the left, its first and last step beneath.

    Args:
        points: steps and values, by rising step, at least one.
        columns, lines: of the drawing with all that stands around it.
        log: draw the logarithms of the values, where all are above 0.
        braille: a character has two by four dots; else one.
    """
    values = [value for _, value in points]
    heights = [math.log(value) for value in values] if log and min(values) > 0 else values
    ends = [_short(max(values)), _short(min(values))]
    margin = max(map(len, ends)) + 1
    wide, high = (2, 4) if braille else (1, 1)
    size = max(1, columns - margin) * wide, max(2, lines - 1) * high
    dots = _dots([(step, height) for (step, _), height in zip(points, heights, strict=True)], *size)
    drawn = []
    for row in range(0, size[1], high):
        label = ends[0] if row == 0 else ends[1] if row + high >= size[1] else ""
        cells = [_character(dots, row, column, wide, high) for column in range(0, size[0], wide)]
        drawn.append(f"{label:>{margin - 1}} {''.join(cells)}".rstrip())
    first, last = f"{points[0][0]:,.0f}", f"{points[-1][0]:,.0f}"
    return [*drawn, f"{'':{margin}}{first}{last:>{max(1, columns - margin - len(first))}}"]


def _dots(points: Sequence[tuple[float, float]], columns: int, rows: int) -> set[tuple[int, int]]:
    """Row from the top and column of each dot: of the points, and of straight lines between them."""
    left, right = points[0][0], points[-1][0]
    bottom, top = min(height for _, height in points), max(height for _, height in points)

    def place(step: float, height: float) -> tuple[float, float]:
        down = (top - height) / (top - bottom) if top > bottom else 0.5
        return down * (rows - 1), (step - left) / (right - left or 1) * (columns - 1)

    places = [place(*point) for point in points]
    found = {(round(row), round(column)) for row, column in places}
    for (row, column), (next_row, next_column) in pairwise(places):
        count = math.ceil(max(abs(next_row - row), abs(next_column - column))) or 1
        down, right = (next_row - row) / count, (next_column - column) / count
        found |= {(round(row + part * down), round(column + part * right)) for part in range(1, count)}
    return found


def _character(dots: set[tuple[int, int]], row: int, column: int, wide: int, high: int) -> str:
    if wide == 1:
        return "*" if (row, column) in dots else " "
    bits = sum(_DOTS[r][c] for r in range(high) for c in range(wide) if (row + r, column + c) in dots)
    return chr(0x2800 + bits) if bits else " "
