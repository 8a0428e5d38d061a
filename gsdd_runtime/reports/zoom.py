"""One picture of what zooming shows: images of two sets, whole and near, each set drawn anew at that size."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.pictures import to_pictures

SIDE, GAP, HEAD = 168, 10, 46
# Of the image's side that is seen near, and where.
_PART, _TOP, _LEFT = 0.25, 0.65, 0.7


def draw_zoom(sets: Sequence[tuple[str, DistilledSet]], labels: Sequence[int], path: str | os.PathLike[str]) -> None:
    """Draws the first image of each class of ``labels`` (a row each), of each set whole and four times as near.

    Args:
        sets: what stands above each, and the set.
        labels: of the rows.
        path: a PNG file.

    Raises:
        InputError: a set without an image of a class, or the file cannot be written.
    """
    width = len(sets) * 2 * (SIDE + GAP) + GAP
    page = Image.new("RGB", (width, HEAD + len(labels) * (SIDE + GAP)), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(14)
    for place, (caption, distilled) in enumerate(sets):
        left = GAP + place * 2 * (SIDE + GAP)
        draw.text((left, 6), caption, fill="black", font=font)
        draw.text((left + SIDE + GAP, 24), "four times as near", fill="#555", font=font)
        for row, label in enumerate(labels):
            top = HEAD + row * (SIDE + GAP)
            page.paste(_cell(_drawn(distilled, label, 1)), (left, top))
            page.paste(_cell(_drawn(distilled, label, round(1 / _PART))), (left + SIDE + GAP, top))
    with atomic_path(path) as temporary:
        page.save(temporary, format="PNG", optimize=True)


def _drawn(distilled: DistilledSet, label: int, zoom: int) -> Tensor:
    """``[1, C, SIDE, SIDE]``: Gaussians drawn at that size, pixels as the squares that they are."""
    found = (distilled.hard_labels == label).nonzero().flatten()
    if not found.numel():
        raise InputError(f"the set has no image of class {label}: choose another")
    side = SIDE * zoom
    if distilled.representation == "gaussians":
        whole = distilled.decode(int(found[0]), side, side)
    else:
        whole = torch.nn.functional.interpolate(distilled.decode(int(found[0])), (side, side), mode="nearest")
    top, left = (0, 0) if zoom == 1 else (round(_TOP * side), round(_LEFT * side))
    return whole[..., top : top + SIDE, left : left + SIDE]


def _cell(image: Tensor) -> Image.Image:
    return to_pictures(image)[0].convert("RGB")
