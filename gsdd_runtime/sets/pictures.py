"""Pictures of images and of sets, for people. Values are clamped to [0, 1] here and in ``reports/``, nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.rows import Indices, output_side, select
from gsdd_runtime.wording import counted

MAX_PICTURE_PIXELS = 100_000_000

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_CELL = 56
_GAP = 2
_MARGIN = 8
_FONT_SIZE = 14
_MAX_COLUMNS = 20


def to_pictures(images: Tensor) -> list[Image.Image]:
    """Pictures of ``[B, C, H, W]`` with 1 to 4 channels: uint8 as it is, floats from [0, 1], clamped."""
    if images.dim() != 4 or images.shape[1] not in _MODES:
        raise InputError(f"images must be [B, C, H, W] with 1 to 4 channels, got {list(images.shape)}")
    if images.is_floating_point():
        images = images.float().nan_to_num(0.0).clamp(0, 1).mul(255).round().to(torch.uint8)
    elif images.dtype != torch.uint8:
        raise InputError(f"images must be uint8 or of a floating dtype, got {images.dtype}")
    arrays = images.detach().cpu().permute(0, 2, 3, 1).contiguous().numpy()
    return [Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array) for array in arrays]


def grid(images: Tensor, columns: int, row_names: Sequence[str] | None = None, scale: int | None = None) -> Image.Image:
    """One picture of ``[B, C, H, W]``, ``columns`` images a row, each row's name at its left.

    Args:
        images: uint8, or floats in [0, 1].
        columns: images a row.
        row_names: one a row.
        scale: whole factor that images are enlarged by; left out, until they are about 56 pixels wide.

    Raises:
        InputError: no images, names that do not match the rows, or a picture of more than 100 million pixels.
    """
    if columns < 1:
        raise InputError(f"columns must be at least 1, got {columns}")
    starts = range(0, images.shape[0], columns)
    if row_names is not None and len(row_names) != len(starts):
        raise InputError(f"{counted(len(row_names), 'row name')} for {counted(len(starts), 'row')}")
    names = row_names or [""] * len(starts)
    return _compose([(name, images[at : at + columns]) for name, at in zip(names, starts, strict=True)], scale)


def picture_of(
    distilled_set: DistilledSet, indices: Indices = None, size: tuple[int, int] | None = None
) -> Image.Image:
    """One picture of a set's images, class by class, each class's name at its left.

    Raises:
        InputError: an index or size out of range, no images, or a picture of more than 100 million pixels.
    """
    chosen = as_tensor(indices, len(distilled_set))
    height, width = output_size(distilled_set, size)
    if chosen.numel() * height * width > MAX_PICTURE_PIXELS:
        raise InputError(
            f"{counted(chosen.numel(), 'image')} of {height}x{width} would be too large a picture: "
            "choose fewer (--indices A:B), or give a folder"
        )
    labels = distilled_set.hard_labels[chosen]
    rows: list[tuple[str, Tensor]] = []
    for label in labels.unique().tolist():
        images = distilled_set.decode(chosen[labels == label], height, width)
        for at in range(0, images.shape[0], _MAX_COLUMNS):
            rows.append((class_name(distilled_set, label) if at == 0 else "", images[at : at + _MAX_COLUMNS]))
    return _compose(rows, None)


def class_name(distilled_set: DistilledSet, label: int) -> str:
    """The name of a class, or ``class 3`` where the set has none."""
    return distilled_set.class_names[label] if distilled_set.class_names else f"class {label}"


def output_size(distilled_set: DistilledSet, size: tuple[int, int] | None) -> tuple[int, int]:
    """``(height, width)``, the native ones where there are none, checked."""
    height, width = size or (None, None)
    return (
        output_side("height", height, distilled_set.height),
        output_side("width", width, distilled_set.width),
    )


def as_tensor(indices: Indices, count: int) -> Tensor:
    """Indices of ``count`` images, checked: int64 ``[B]``."""
    chosen = select(indices, count)
    return torch.arange(chosen.start, chosen.stop) if isinstance(chosen, slice) else chosen.cpu()


def _compose(rows: Sequence[tuple[str, Tensor]], scale: int | None) -> Image.Image:
    if not rows or rows[0][1].shape[0] == 0:
        raise InputError("there are no images to make a picture of")
    columns = max(images.shape[0] for _, images in rows)
    height, width = rows[0][1].shape[2:]
    scale = scale or max(1, round(_CELL / max(height, width)))
    cell = (width * scale, height * scale)
    font = ImageFont.load_default(_FONT_SIZE)
    text_width = max(int(font.getlength(name)) for name, _ in rows)
    left = _MARGIN + (text_width + _MARGIN if text_width else 0)
    total = (
        left + columns * (cell[0] + _GAP) - _GAP + _MARGIN,
        2 * _MARGIN + len(rows) * (cell[1] + _GAP) - _GAP,
    )
    if total[0] * total[1] > MAX_PICTURE_PIXELS:
        raise InputError(f"a picture of {total[0]}x{total[1]} pixels is too large: choose fewer or smaller images")
    colored = rows[0][1].shape[1] >= 3
    picture = Image.new("RGB" if colored else "L", total, "white")
    draw = ImageDraw.Draw(picture)
    for row, (name, images) in enumerate(rows):
        top = _MARGIN + row * (cell[1] + _GAP)
        draw.text((_MARGIN, top + cell[1] / 2), name, fill="black", font=font, anchor="lm")
        for column, image in enumerate(to_pictures(images)):
            enlarged = image.resize(cell, Image.Resampling.NEAREST)
            mask = enlarged.getchannel("A") if enlarged.mode in ("LA", "RGBA") else None
            picture.paste(enlarged.convert(picture.mode), (left + column * (cell[0] + _GAP), top), mask)
    return picture
