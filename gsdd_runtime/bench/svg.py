"""Plain SVG, so that drawing needs no plotting library."""

from __future__ import annotations

import os
from collections.abc import Iterable
from html import escape

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.errors import InputError

COLORS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")


def write_svg(path: str | os.PathLike[str], drawing: str) -> None:
    """Writes a drawing, whole or not at all.

    Raises:
        InputError: the name is not that of an ``.svg`` file, or it cannot be written.
    """
    if not os.fspath(path).lower().endswith(".svg"):
        raise InputError(f"{os.fspath(path)}: the chart is an SVG picture: give a name that ends in .svg")
    with atomic_path(path) as temporary:
        temporary.write_text(drawing, encoding="utf-8")


def document(width: int, height: int, parts: Iterable[str]) -> str:
    """A drawing of ``parts`` on white, ``width`` x ``height`` pixels."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="white"/>', *parts, "</svg>", ""])


def text(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start", fill: str = "#111") -> str:
    """Words whose ``anchor`` (start, middle or end) of the base line is at ``x``, ``y``."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'
    )
