"""Real data: what is distilled, and what a distilled set is tested on.

``load_dataset`` reads one of

- ``fashion-mnist-sample``: 6,000 training and 1,000 test images of Fashion-MNIST, part of the package;
- ``fashion-mnist``: the whole of it, from the official IDX files in ``data_dir``;
- ``imagefolder:DIR``: a folder of folders of images (docs/file-format.md, "Folders of images").
"""

from __future__ import annotations

import os
from pathlib import Path

from gsdd_runtime.datasets.fashion_mnist import load_fashion_mnist, load_sample
from gsdd_runtime.datasets.image_folder import load_image_folder
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.gaussians import MAX_SIDE

__all__ = ["DATASETS", "RealData", "folders_of", "load_dataset"]

DATASETS = ("fashion-mnist-sample", "fashion-mnist", "imagefolder:DIR")
_FOLDER = "imagefolder:"


def load_dataset(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    *,
    channels: int | None = None,
    test_part: float | None = None,
) -> RealData:
    """Reads real data into memory, one byte a pixel and channel.

    Args:
        name: ``fashion-mnist-sample``, ``fashion-mnist`` or ``imagefolder:DIR``.
        data_dir: the folder of the IDX files, for ``fashion-mnist``; no other name takes one.
        size: ``(height, width)`` that images are scaled to. Left out, images keep their own size, which must
            then be the same for all.
        channels: 1 or 3, for ``imagefolder``; left out, 1 if every file is stored as gray, else 3.
        test_part: for ``imagefolder``: the share of each class, from 0 to below 1, that is held out to test on; 0 for
            no test part. Left out, the folder's own test part, or a fifth where it has none.

    Raises:
        InputError: no such dataset, a missing or broken file, images that do not fit together.
    """
    if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
        raise InputError(f"the size must be 1 to {MAX_SIDE} pixels a side, got {size[0]}x{size[1]}")
    if name.startswith(_FOLDER):
        folder = name.removeprefix(_FOLDER)
        if not folder:
            raise InputError("imagefolder: needs a folder: write imagefolder:DIR")
        if data_dir is not None:
            raise InputError(f"{name} names its folder itself: leave the data directory out")
        return load_image_folder(folder, size=size, channels=channels, test_part=test_part)
    if name not in DATASETS:
        raise InputError(f"no dataset {name!r}: choose one of {', '.join(DATASETS)}")
    if test_part is not None:
        raise InputError(f"{name} has its own test part: leave --test-part out")
    if channels is not None and channels != 1:
        raise InputError(f"{name} is gray: leave channels out")
    if name == "fashion-mnist-sample":
        if data_dir is not None:
            raise InputError(
                "fashion-mnist-sample is part of the package: leave the data directory out, or use fashion-mnist"
            )
        return load_sample(size=size)
    return load_fashion_mnist(data_dir, size=size)


def folders_of(name: str, data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """The folders that :func:`load_dataset` would read from, besides the package's own."""
    named = [name.removeprefix(_FOLDER)] if name.startswith(_FOLDER) else []
    return [Path(folder) for folder in (*named, data_dir) if folder]
