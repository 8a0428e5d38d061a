"""A folder of folders of images as real data; docs/datasets.md, "Folders of images", states the rules.

Memory: a few decoded files at a time; and one byte a pixel and channel of the result, where that is not mapped.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import PIL
import torch
from torch import Tensor

from gsdd_runtime.datasets.archive_listing import open_archive
from gsdd_runtime.datasets.cache import CACHED_FROM, Cache, Kept, UnusableError, cache_folder, key_of
from gsdd_runtime.datasets.folder_layout import Layout, find_layout, top_of
from gsdd_runtime.datasets.images import RESIZES, ImageHeader, read_header, read_image
from gsdd_runtime.datasets.packed import AnyPath
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.progress import Progress, Reporter, say_once, silent
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
    cache: bool = True,
    progress: Reporter = silent,
) -> RealData:
    """Reads ``DIR/train/<class>/*`` with ``DIR/test`` or ``DIR/val`` beside it, or ``DIR/<class>/*``.

    Args:
        folder: DIR, or an archive of it (.zip, .tar, .tar.gz), which is read where it is.
        size: ``(height, width)`` that images are scaled to.
        channels: 1 or 3; left out, 1 if every file is stored as gray, else 3.
        test_part, classes: as :func:`gsdd_runtime.datasets.folder_layout.find_layout` takes them.
        resize: as :func:`gsdd_runtime.datasets.images.read_image` takes it.
        cache: keep the decoded pictures, and map those that were kept (``gsdd_runtime.datasets.cache``).
        progress: told of the files that were read.

    Raises:
        InputError: no folder, no class, a class without an image, a file that is no whole image, images of
            different sizes and no ``size``, more than the machine's memory.
    """
    root: AnyPath = Path(folder)
    if channels not in (None, 1, 3):
        raise InputError(f"channels must be 1 or 3, got {channels}")
    name = f"imagefolder:{root}"
    if isinstance(root, Path) and root.is_file():
        root = top_of(open_archive(root, progress=progress))
    if not root.is_dir():
        raise InputError(
            f"the folder {root} does not exist or is no folder: give one with a folder of images for each class"
        )
    layout = find_layout(root, test_part, classes)
    return read_layout(name, layout, size, channels, resize=resize, cache=cache, progress=progress)


def read_layout(
    name: str,
    layout: Layout,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    *,
    resize: str = "cover",
    cache: bool = True,
    progress: Reporter = silent,
) -> RealData:
    """Reads the files of a layout; see :func:`load_image_folder`."""
    if resize not in RESIZES:
        raise InputError(f"resize {resize!r} is not known: choose one of {', '.join(RESIZES)}")
    job = _Job(name, layout, size, channels, resize, progress)
    folder = cache_folder() if cache and len(job.paths) >= CACHED_FROM else None
    with warnings.catch_warnings():
        # Pillow warns of broken metadata beside sound pixels.
        warnings.simplefilter("ignore")
        return job.in_memory() if folder is None else job.through(Cache(folder))


@dataclass(frozen=True)
class _Job:
    """Reading the pictures of a layout: all of the training part, then all of the other."""

    name: str
    layout: Layout
    size: tuple[int, int] | None
    channels: int | None
    resize: str
    progress: Reporter

    @cached_property
    def paths(self) -> list[AnyPath]:
        return [path for files in (*self.layout.train, *self.layout.test) for path in files]

    def in_memory(self) -> RealData:
        shape = self._shape()
        check_memory(
            math.prod(shape),
            f"{counted(shape[0], 'image')} of {shape[2]}x{shape[3]}",
            "give a smaller size (--size HxW)",
        )
        images = torch.empty(shape, dtype=torch.uint8)
        self._decode_into(images)
        train, test = self._parts(images)
        return RealData.of(
            self.name, train, test, self.layout.class_names, split=self.layout.split, progress=self.progress
        )

    def through(self, cache: Cache) -> RealData:
        """Mapped from the cache, once it is there; in memory where it cannot be."""
        key = key_of(self.paths, {
            "classes": self.layout.class_names,
            "counts": [[len(files) for files in part] for part in (self.layout.train, self.layout.test)],
            "size": self.size, "channels": self.channels, "resize": self.resize, "pillow": PIL.__version__,
        })  # fmt: skip
        kept = cache.find(key)
        try:
            if kept is None:
                with cache.sole_maker(key):
                    kept = cache.find(key) or self._made(cache, key)
        except UnusableError as error:
            say_once(f"decoded pictures are not kept: {error} (--no-cache, or GSDD_CACHE=off, does not try)")
        return self.in_memory() if kept is None else self._kept(kept)

    def _made(self, cache: Cache, key: str) -> Kept | None:
        with cache.making(key, self._shape()) as (images, facts):
            self._decode_into(images)
            data = RealData.of(self.name, *self._parts(images), self.layout.class_names, progress=self.progress)
            facts |= {"mean": data.mean, "std": data.std, "fingerprint": data.fingerprint, "order": data.order}
        return cache.find(key)

    def _kept(self, kept: Kept) -> RealData:
        train, test = self._parts(kept.images)
        mean, std = (tuple(map(float, kept.facts[name])) for name in ("mean", "std"))
        names, split = self.layout.class_names, self.layout.split
        fingerprint, order = (str(kept.facts[name]) for name in ("fingerprint", "order"))
        return RealData(self.name, *train, *test, names, mean, std, fingerprint, split, order=order)

    def _shape(self) -> tuple[int, int, int, int]:
        size, channels = self.size, self.channels
        if size is None or channels is None:
            upright = size is None
            headers = _in_order(
                lambda path: read_header(path, upright=upright), self.paths, self.progress, "read headers"
            )
            channels = channels or (1 if all(header.gray for header in headers) else 3)
            size = size or _common_size(self.paths, headers)
        return (len(self.paths), channels, *size)

    def _decode_into(self, images: Tensor) -> None:
        channels, size = images.shape[1], (images.shape[2], images.shape[3])

        def read(index: int) -> None:
            images[index] = read_image(self.paths[index], size, channels, self.resize)

        _in_order(read, range(len(self.paths)), self.progress, "read images")

    def _parts(self, images: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        count = sum(map(len, self.layout.train))
        return (images[:count], _labels(self.layout.train)), (images[count:], _labels(self.layout.test))


def _labels(files: Sequence[Sequence[AnyPath]]) -> Tensor:
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


def _common_size(paths: list[AnyPath], headers: list[ImageHeader]) -> tuple[int, int]:
    first = headers[0].size
    for path, header in zip(paths, headers, strict=True):
        if header.size != first:
            raise InputError(
                f"{path} is {header.size[0]}x{header.size[1]} pixels, {paths[0]} is {first[0]}x{first[1]}: "
                "give the size that all are scaled to (--size HxW)"
            )
    return first
