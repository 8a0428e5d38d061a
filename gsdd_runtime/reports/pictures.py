"""A decoded set as files: pictures are clamped to [0, 1], arrays (``.npy``, ``.npz``) keep values as they are."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from torch import Tensor

from gsdd_runtime.atomic import atomic_folder, atomic_path, check_room
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import suffix_of
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.pictures import as_tensor, class_name, output_size, picture_of, to_pictures
from gsdd_runtime.sets.rows import Indices

# Bytes of decoded images held at once while files are written.
PART_BYTES = 1 << 26


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
    chosen = as_tensor(indices, len(distilled_set))
    size = output_size(distilled_set, size)
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
