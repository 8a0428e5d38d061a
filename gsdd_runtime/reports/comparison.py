"""One picture of whole sets beside each other, at their native size, each line a class."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.pictures import class_name, grid

_HEADING, _MARGIN, _GAP = 28, 6, 24


def draw_comparison(sets: Sequence[tuple[str, DistilledSet]], path: str | os.PathLike[str]) -> None:
    """Draws all images of sets of as many images for each class; the names of the classes stand at the first.

    Args:
        sets: what stands above each, and the set.
        path: a PNG file.

    Raises:
        InputError: the file cannot be written.
    """
    first = sets[0][1]
    names = [class_name(first, label) for label in range(first.classes)]
    pictures = [
        grid(distilled.decode(), len(distilled) // distilled.classes, names if place == 0 else None, 1)
        for place, (_, distilled) in enumerate(sets)
    ]
    font = ImageFont.load_default(14)
    widths = [
        max(picture.width, int(font.getlength(caption)) + 2 * _MARGIN)
        for picture, (caption, _) in zip(pictures, sets, strict=True)
    ]
    height = _HEADING + max(picture.height for picture in pictures)
    page = Image.new("RGB", (sum(widths) + _GAP * (len(sets) - 1), height), "white")
    draw = ImageDraw.Draw(page)
    left = 0
    for picture, (caption, _), width in zip(pictures, sets, widths, strict=True):
        draw.text((left + _MARGIN, _MARGIN), caption, fill="black", font=font)
        page.paste(picture.convert("RGB"), (left, _HEADING))
        left += width + _GAP
    with atomic_path(path) as temporary:
        page.save(temporary, format="PNG", optimize=True)
