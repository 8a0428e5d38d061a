"""Pictures of images for people, and a decoded set as files.

Values are clamped to [0, 1] here and nowhere else; arrays (``.npy``, ``.npz``) keep them as they are.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gsdd_runtime.atomic import atomic_folder, atomic_path, check_room
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import suffix_of
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.rows import Indices, output_side, select
from gsdd_runtime.wording import counted

# Bytes of decoded images held at once while files are written.
PART_BYTES = 1 << 26
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
    chosen = _as_tensor(indices, len(distilled_set))
    height, width = _output_size(distilled_set, size)
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


def write_decoded(
    distilled_set: DistilledSet,
    out: str | os.PathLike[str],
    indices: Indices = None,
    size: tuple[int, int] | None = None,
) -> None:
    """Decodes images to files, whole or not at all.

    Args:
        distilled_set: the set.
        out: ``*.npy``: one float32 array ``[B, C, H, W]`` in pixel units, not clamped. ``*.npz``: that array as
            ``images``, and ``labels``, int64 ``[B]``, or float16 ``[B, classes]`` where they are soft. ``*.png``: one
            picture of all, class by class. Anything else: a folder, new or empty, of one PNG an image, named by
            index and class.
        indices: which images, all if left out.
        size: ``(height, width)``, the native size if left out.

    Raises:
        InputError: an index or size out of range, hours of drawing, a folder with something in it, a place that cannot
            be written, the file of the set itself, a disk without room for the result.
    """
    path = Path(out)
    chosen = _as_tensor(indices, len(distilled_set))
    size = _output_size(distilled_set, size)
    distilled_set.check_drawing(chosen, *size)
    if path.suffix.lower() == ".npy":
        _write_array(distilled_set, path, chosen, size)
    elif path.suffix.lower() == ".npz":
        _write_arrays(distilled_set, path, chosen, size)
    elif path.suffix.lower() == ".png":
        picture = picture_of(distilled_set, chosen, size)
        with atomic_path(path, inputs=[distilled_set.path]) as temporary:
            picture.save(temporary, format="PNG", optimize=True)
    elif suffix_of(path) and not path.is_dir():
        raise InputError(f"{path}: images are written as .npz, .npy or .png, or to a folder, not as {path.suffix}")
    else:
        _write_folder(distilled_set, path, chosen, size)


def class_name(distilled_set: DistilledSet, label: int) -> str:
    """The name of a class, or ``class 3`` where the set has none."""
    return distilled_set.class_names[label] if distilled_set.class_names else f"class {label}"


def _write_array(distilled_set: DistilledSet, path: Path, chosen: Tensor, size: tuple[int, int]) -> None:
    with (
        atomic_path(path, size=_array_bytes(distilled_set, chosen, size), inputs=[distilled_set.path]) as temporary,
        open(temporary, "wb") as file,
    ):
        _write_images(distilled_set, file, chosen, size)


def _write_arrays(distilled_set: DistilledSet, path: Path, chosen: Tensor, size: tuple[int, int]) -> None:
    labels = distilled_set.labels[chosen].numpy()
    room = _array_bytes(distilled_set, chosen, size) + labels.nbytes
    with (
        atomic_path(path, size=room, inputs=[distilled_set.path]) as temporary,
        # As numpy.savez writes it, which holds all of it in memory.
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        with archive.open(zipfile.ZipInfo("images.npy"), "w", force_zip64=True) as file:
            _write_images(distilled_set, file, chosen, size)
        with archive.open(zipfile.ZipInfo("labels.npy"), "w", force_zip64=True) as file:
            np.lib.format.write_array(file, labels, allow_pickle=False)


def _array_bytes(distilled_set: DistilledSet, chosen: Tensor, size: tuple[int, int]) -> int:
    return 4 * chosen.numel() * distilled_set.channels * size[0] * size[1]


def _write_images(distilled_set: DistilledSet, file: IO[bytes], chosen: Tensor, size: tuple[int, int]) -> None:
    """The header that numpy.save writes, then the numbers part by part: memory stays bounded."""
    shape = (chosen.numel(), distilled_set.channels, *size)
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for _, images in _decoded_parts(distilled_set, chosen, size):
        file.write(images.numpy().data)


def _write_folder(distilled_set: DistilledSet, path: Path, chosen: Tensor, size: tuple[int, int]) -> None:
    digits = len(str(len(distilled_set) - 1))
    labels = distilled_set.hard_labels
    with atomic_folder(path) as temporary:
        written = 0
        for positions, images in _decoded_parts(distilled_set, chosen, size):
            for index, picture in zip(positions.tolist(), to_pictures(images), strict=True):
                name = re.sub(r"[^\w.-]+", "_", class_name(distilled_set, int(labels[index])))[:80]
                file = temporary / f"{index:0{digits}d}-{name}.png"
                picture.save(file)
                if written == 0:
                    # What the others will take is known from the first.
                    check_room(path, (chosen.numel() - 1) * file.stat().st_size)
                written += 1


def _decoded_parts(
    distilled_set: DistilledSet, chosen: Tensor, size: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor]]:
    step = max(1, PART_BYTES // (4 * distilled_set.channels * size[0] * size[1]))
    for positions in chosen.split(step):
        yield positions, distilled_set.decode(positions, *size).cpu()


def _output_size(distilled_set: DistilledSet, size: tuple[int, int] | None) -> tuple[int, int]:
    height, width = size or (None, None)
    return (
        output_side("height", height, distilled_set.height),
        output_side("width", width, distilled_set.width),
    )


def _as_tensor(indices: Indices, count: int) -> Tensor:
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
