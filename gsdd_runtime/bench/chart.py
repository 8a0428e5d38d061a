"""The speed ratios as a bar chart."""

from __future__ import annotations

import math
import os
from typing import Any

from gsdd_runtime.bench.peers.gaussians import Gaussians, GaussiansBackward
from gsdd_runtime.bench.svg import COLORS, document, text, write_svg

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 900, 190, 70, 14, 18, 70


def render_chart(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Draws how many times faster the decoder is than each peer, fitted parameters, on all threads measured.

    Args:
        result: of :func:`~gsdd_runtime.bench.run_decode_bench`.
        path: an ``.svg`` file.

    Raises:
        InputError: another kind of file, or one that cannot be written.
    """
    write_svg(path, draw_chart(result))


def draw_chart(result: dict[str, Any]) -> str:
    """The chart as SVG text."""
    threads = max(entry["threads"] for entry in result["results"])
    groups = [
        (entry["point"], _ratios(entry))
        for entry in result["results"]
        if entry["threads"] == threads and entry["parameters"] == "fitted"
    ]
    peers = list(dict.fromkeys(name for _, ratios in groups for name in ratios))
    colors = {name: COLORS[k % len(COLORS)] for k, name in enumerate(peers)}
    values = [value for _, ratios in groups for value in ratios.values()]
    low = math.floor(math.log10(min([*values, 1.0])))
    high = max(low + 1, math.ceil(math.log10(max([*values, 1.0]))))
    height = _TOP + sum(len(ratios) * _BAR + _GAP for _, ratios in groups) + 20 + 18 * len(peers)

    def x(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    bottom = height - 18 * len(peers) - 10
    parts = [
        text(_LEFT, 22, f"How many times faster gsdd decodes, {threads} thread(s)", size=15),
        text(_LEFT, 40, f"{result['machine']['processor']}; left of 1 the peer is faster", fill="#555"),
    ]
    for exponent in range(low, high + 1):
        at = x(10.0**exponent)
        stroke = "#333" if exponent == 0 else "#ddd"
        parts.append(f'<line x1="{at:.1f}" y1="{_TOP - 8}" x2="{at:.1f}" y2="{bottom}" stroke="{stroke}"/>')
        parts.append(text(at, _TOP - 12, f"{10.0**exponent:g}", anchor="middle"))
    y = float(_TOP)
    for point, ratios in groups:
        parts.append(text(_LEFT - 10, y + len(ratios) * _BAR / 2 + 4, point, anchor="end"))
        for name, value in ratios.items():
            start, end = sorted((x(1.0), x(value)))
            parts.append(
                f'<rect x="{start:.1f}" y="{y + 1:.1f}" width="{max(end - start, 1):.1f}" height="{_BAR - 2}" '
                f'fill="{colors[name]}"/>'
            )
            parts.append(text(max(end, x(1.0)) + 4, y + 11, f"{value:.3g}", size=10))
            y += _BAR
        y += _GAP
    for k, name in enumerate(peers):
        y = bottom + 14 + 18 * k
        parts.append(f'<rect x="{_LEFT}" y="{y - 9:.1f}" width="10" height="10" fill="{colors[name]}"/>')
        parts.append(text(_LEFT + 16, y, name))
    return document(_WIDTH, height, parts)


def _ratios(entry: dict[str, Any]) -> dict[str, float]:
    return {
        name: figures["times_slower_than_gsdd"]["median"]
        for name, figures in entry["contestants"].items()
        if name not in (Gaussians.name, GaussiansBackward.name)
    }
