"""Accuracy against bits as a chart: a line for each set, a mark for each form of it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from gsdd_runtime.bench.svg import COLORS, document, text, write_svg
from gsdd_runtime.errors import printable
from gsdd_runtime.wording import counted

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 900, 420, 70, 30, 70, 60
_MARK = 4.5

Scale = Callable[[float], float]


def render_rate_chart(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Draws test accuracy (last epoch, mean and deviation) against bits per class, the latter by powers.

    Args:
        result: of :func:`~gsdd_runtime.bench.rate.run_rate_bench`.
        path: an ``.svg`` file.

    Raises:
        InputError: another kind of file, or one that cannot be written.
    """
    write_svg(path, draw_rate_chart(result))


def draw_rate_chart(result: dict[str, Any]) -> str:
    """The chart as SVG text."""
    points, protocol = result["points"], result["protocol"]
    names = list(dict.fromkeys(point["set"] for point in points))
    bits = [point["bits_per_class"] for point in points]
    x, bit_marks = _powers(min(bits), max(bits))
    bounds = [point["last_epoch"]["mean"] + sign * _deviation(point) for point in points for sign in (-1, 1)]
    y, accuracy_marks = _shares(min(bounds), max(bounds))
    low, high = _HEIGHT - _BOTTOM, _TOP
    parts = [
        text(_LEFT, 22, f"Test accuracy on {printable(protocol['data']['name'])} by what a set takes", size=15),
        text(_LEFT, 40, f"{protocol['network']}, {counted(protocol['epochs'], 'epoch')}, last epoch of "
             f"{counted(protocol['networks'], 'network')}; circles are Gaussians, squares pixels, filled where coded",
             fill="#555"),
        text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, "bits per class", anchor="middle"),
        text(_LEFT - 50, _TOP - 14, "accuracy, %"),
    ]  # fmt: skip
    for mark in bit_marks:
        parts.append(_line(x(mark), low, x(mark), high))
        parts.append(text(x(mark), low + 18, f"{mark:,.0f}", anchor="middle"))
    for mark in accuracy_marks:
        parts.append(_line(_LEFT, y(mark), _WIDTH - _RIGHT, y(mark)))
        parts.append(text(_LEFT - 8, y(mark) + 4, f"{100 * mark:g}", anchor="end"))
    for k, name in enumerate(names):
        color = COLORS[k % len(COLORS)]
        mine = [point for point in points if point["set"] == name]
        parts += _curve(mine, x, y, color)
        parts += _mark(_LEFT + 6, _HEIGHT + 14 + 18 * k - 4, mine[0]["representation"], color, True)
        parts.append(text(_LEFT + 20, _HEIGHT + 14 + 18 * k, printable(name)))
    return document(_WIDTH, _HEIGHT + 14 + 18 * len(names), parts)


def _curve(points: list[dict[str, Any]], x: Scale, y: Scale, color: str) -> list[str]:
    """Of one set: a line by bits, and at each point the deviation and the mark."""
    points = sorted(points, key=lambda point: point["bits_per_class"])
    places = [(x(point["bits_per_class"]), y(point["last_epoch"]["mean"])) for point in points]
    corners = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
    parts = [f'<polyline points="{corners}" fill="none" stroke="{color}" stroke-width="1.5"/>']
    for point, (across, up) in zip(points, places, strict=True):
        mean, deviation = point["last_epoch"]["mean"], _deviation(point)
        if deviation > 0:
            parts.append(_line(across, y(mean - deviation), across, y(mean + deviation), color))
        parts += _mark(across, up, point["representation"], color, point["steps"] is not None)
    return parts


def _deviation(point: dict[str, Any]) -> float:
    return float(point["last_epoch"]["std"] or 0.0)


def _mark(x: float, y: float, representation: str, color: str, filled: bool) -> list[str]:
    look = f'fill="{color if filled else "white"}" stroke="{color}" stroke-width="1.5"'
    if representation == "gaussians":
        return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_MARK}" {look}/>']
    return [f'<rect x="{x - _MARK:.1f}" y="{y - _MARK:.1f}" width="{2 * _MARK:g}" height="{2 * _MARK:g}" {look}/>']


def _line(x1: float, y1: float, x2: float, y2: float, color: str = "#ddd") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def _powers(least: float, most: float) -> tuple[Scale, list[float]]:
    """Places of bits, by their logarithm, and the round numbers 1, 2 and 5 times a power of ten among them."""
    low, high = math.log10(least) - 0.05, math.log10(most) + 0.05
    if high - low < 0.5:
        middle = (low + high) / 2
        low, high = middle - 0.25, middle + 0.25

    def place(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    powers = range(math.floor(low), math.ceil(high) + 1)
    marks = [first * 10.0**power for power in powers for first in (1, 2, 5)]
    return place, [mark for mark in marks if low <= math.log10(mark) <= high]


def _shares(least: float, most: float) -> tuple[Scale, list[float]]:
    """Places of accuracies, and about six round numbers among them."""
    wanted = max(most - least, 0.01) / 6
    # In tenths of a per cent, so that marks are whole.
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200) if step >= 1000 * wanted)
    low, high = math.floor(1000 * least / step), math.ceil(1000 * most / step)
    high = max(high, low + 1)

    def place(value: float) -> float:
        return _HEIGHT - _BOTTOM - (1000 * value / step - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    return place, [mark * step / 1000 for mark in range(low, high + 1)]
