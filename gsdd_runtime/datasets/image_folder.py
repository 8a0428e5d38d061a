"""A folder of folders of images as real data; docs/file-format.md, "Folders of images", states the rules.

Memory: one byte a pixel and channel of the result, and a few decoded files at a time.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from gsdd_runtime.datasets.folder_layout import Layout, find_layout
from gsdd_runtime.datasets.images import RESIZES, ImageHeader, read_header, read_image
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.wording import counted

_READERS = min(8, os.cpu_count() or 1)
# Files between two reports of progress.
_REPORTED = 64

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def load_image_folder(
    folder: str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    test_part: float | None = None,
    *,
    classes: str | Sequence[str] | None = None,
    resize: str = "cover",
    progress: Reporter = silent,
) -> RealData:
    """Reads ``DIR/train/<class>/*`` with ``DIR/test`` or ``DIR/val`` beside it, or ``DIR/<class>/*``.

    Args:
        folder: DIR.
        size: ``(height, width)`` that images are scaled to.
        channels: 1 or 3; left out, 1 if every file is stored as gray, else 3.
        test_part, classes: as :func:`gsdd_runtime.datasets.folder_layout.find_layout` takes them.
        resize: as :func:`gsdd_runtime.datasets.images.read_image` takes it.
        progress: told of the files that were read.

    Raises:
        InputError: no folder, no class, a class without an image, a file that is no whole image, images of
            different sizes and no ``size``, more than the machine's memory.
    """
    root = Path(folder)
    if channels not in (None, 1, 3):
        raise InputError(f"channels must be 1 or 3, got {channels}")
    if not root.is_dir():
        raise InputError(
            f"the folder {root} does not exist or is no folder: give one with a folder of images for each class"
        )
    layout = find_layout(root, test_part, classes)
    return read_layout(f"imagefolder:{root}", layout, size, channels, resize=resize, progress=progress)


def read_layout(
    name: str,
    layout: Layout,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    *,
    resize: str = "cover",
    progress: Reporter = silent,
) -> RealData:
    """Reads the files of a layout; see :func:`load_image_folder`."""
    if resize not in RESIZES:
        raise InputError(f"resize {resize!r} is not known: choose one of {', '.join(RESIZES)}")
    every_file = [path for files in (*layout.train, *layout.test) for path in files]
    with warnings.catch_warnings():
        # Pillow warns of broken metadata beside sound pixels.
        warnings.simplefilter("ignore")
        if size is None or channels is None:
            headers = _in_order(
                lambda path: read_header(path, upright=size is None), every_file, progress, "read headers"
            )
            channels = channels or (1 if all(header.gray for header in headers) else 3)
            size = size or _common_size(every_file, headers)
        _check_memory(len(every_file), channels, size)
        images = torch.empty(len(every_file), channels, *size, dtype=torch.uint8)
        decode_into(images, every_file, resize, progress)
    train_count = sum(map(len, layout.train))
    train = images[:train_count], labels_of(layout.train)
    test = images[train_count:], labels_of(layout.test)
    return RealData.of(name, train, test, layout.class_names, split=layout.split, progress=progress)


def decode_into(images: Tensor, paths: Sequence[Path], resize: str, progress: Reporter) -> None:
    """Fills uint8 ``images`` ``[M, C, H, W]`` with the pictures in M files, on several threads."""
    channels, size = images.shape[1], (images.shape[2], images.shape[3])

    def read(index: int) -> None:
        images[index] = read_image(paths[index], size, channels, resize)

    _in_order(read, range(len(paths)), progress, "read images")


def labels_of(files: Sequence[Sequence[Path]]) -> Tensor:
    """int64: the position of the list that each file is in, list after list."""
    return torch.tensor([label for label, class_files in enumerate(files) for _ in class_files], dtype=torch.int64)


def _in_order(
    function: Callable[[_Item], _Result], items: Sequence[_Item], progress: Reporter, phase: str
) -> list[_Result]:
    """``function`` of each item, on several threads; of several that fail, the first item's exception."""
    results: list[_Result] = []
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            for result in pool.map(function, items):
                results.append(result)
                if len(results) % _REPORTED == 0 or len(results) == len(items):
                    progress(Progress(phase, len(results), len(items)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _common_size(paths: list[Path], headers: list[ImageHeader]) -> tuple[int, int]:
    first = headers[0].size
    for path, header in zip(paths, headers, strict=True):
        if header.size != first:
            raise InputError(
                f"{path} is {header.size[0]}x{header.size[1]} pixels, {paths[0]} is {first[0]}x{first[1]}: "
                "give the size that all are scaled to (--size HxW)"
            )
    return first


def _check_memory(images: int, channels: int, size: tuple[int, int]) -> None:
    check_memory(
        images * channels * size[0] * size[1],
        f"{counted(images, 'image')} of {size[0]}x{size[1]}",
        "give a smaller size (--size HxW)",
    )
