"""Real data: what is distilled, and what a distilled set is tested on. docs/datasets.md tells of each kind.

``load_dataset`` reads those of ``gsdd_runtime.datasets.catalog`` by name, and ``imagefolder:DIR``: a folder of folders
of images.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from gsdd_runtime.datasets.catalog import DATASETS, FOLDER, IMAGENET, Dataset, Request
from gsdd_runtime.datasets.class_choice import choose_classes, imagenet_names
from gsdd_runtime.datasets.image_folder import load_image_folder
from gsdd_runtime.datasets.images import RESIZES
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Reporter, say_once, silent
from gsdd_runtime.splatting.gaussians import MAX_SIDE
from gsdd_runtime.wording import counted

__all__ = ["DATASETS", "NORMALIZATIONS", "RealData", "folders_of", "load_dataset"]

NORMALIZATIONS = ("computed", "published")


def load_dataset(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    *,
    channels: int | None = None,
    test_part: float | None = None,
    classes: str | Sequence[str] | None = None,
    resize: str = "cover",
    normalization: str = "computed",
    zca: bool = False,
    cache: bool = True,
    progress: Reporter = silent,
) -> RealData:
    """Reads real data, one byte a pixel and channel: into memory, or mapped where decoded pictures are kept.

    Args:
        name: one of ``gsdd_runtime.datasets.DATASETS``, or ``imagefolder:DIR``.
        data_dir: the folder of the dataset's files; what is in the package or names its folder itself takes none.
        size: ``(height, width)`` that images are scaled to. Left out, images keep their own size, which must
            then be the same for all.
        channels: 1 or 3, for ``imagefolder``; left out, 1 if every file is stored as gray, else 3.
        test_part: for ``imagefolder``: the share of each class, from 0 to below 1, that is held out to test on; 0 for
            no test part. Left out, the folder's own test part, or a fifth where it has none.
        classes: those that are read, in that order: the name of a subset of ImageNet, ``imagenet`` for all classes of a
            folder by readable names, names with commas between them, a file of names, or a list of names
            (``gsdd_runtime.datasets.class_choice``). Left out, all by the names of their folders.
        resize: of pictures of another shape than ``size``: ``cover`` cuts them around their centre, ``squash`` keeps
            all of them.
        normalization: mean and std that networks take images by: ``computed`` from the training images, or those
            ``published`` for the dataset.
        zca: networks take ZCA-whitened images in place of that, fitted on the training images (eps 0.1).
        cache: keep the decoded pictures of a folder outside it, and take those that were kept
            (``gsdd_runtime.datasets.cache``).
        progress: told of the files and images that were read.

    Raises:
        InputError: no such dataset, a missing or broken file, images that do not fit together, no published statistics.
    """
    if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
        raise InputError(f"the size must be 1 to {MAX_SIDE} pixels a side, got {size[0]}x{size[1]}")
    if normalization not in NORMALIZATIONS:
        raise InputError(f"normalization {normalization!r} is not known: choose one of {', '.join(NORMALIZATIONS)}")
    if zca and normalization != "computed":
        raise InputError("whitening (--zca) takes the place of mean and std: leave --normalization out")
    if resize not in RESIZES:
        raise InputError(f"resize {resize!r} is not known: choose one of {', '.join(RESIZES)}")
    asked = Request(data_dir, size, progress, classes, resize, cache)
    data = (
        _folder(name, asked, channels, test_part)
        if name.startswith(FOLDER)
        else _named(name, asked, channels, test_part)
    )
    if normalization == "published":
        data = _as_published(name, data)
    return data.whitened(progress, cache=cache) if zca else data


def _folder(name: str, asked: Request, channels: int | None, test_part: float | None) -> RealData:
    folder = name.removeprefix(FOLDER)
    if not folder:
        raise InputError("imagefolder: needs a folder: write imagefolder:DIR")
    if asked.data_dir is not None:
        raise InputError(f"{name} names its folder itself: leave the data directory out")
    return load_image_folder(
        folder,
        asked.size,
        channels,
        test_part,
        classes=asked.classes,
        resize=asked.resize,
        cache=asked.cache,
        progress=asked.progress,
    )


def _named(name: str, asked: Request, channels: int | None, test_part: float | None) -> RealData:
    known = DATASETS.get(name)
    if known is None:
        raise InputError(f"no dataset {name!r}: choose one of {', '.join(DATASETS)}, {FOLDER}DIR")
    if test_part is not None:
        raise InputError(f"{name} has its own test part: leave --test-part out")
    if channels is not None and channels != known.channels:
        raise InputError(f"{name} is {'gray' if known.channels == 1 else 'in colour'}: leave channels out")
    if not known.needs and asked.data_dir is not None:
        raise InputError(f"{name} is part of the package: leave the data directory out, or use another dataset")
    data = known.load(asked)
    if asked.classes is None:
        _tell_of_other_content(known, data, asked)
    return data if known.pictures or asked.classes is None else _of_classes(data, asked.classes, asked.progress)


def _tell_of_other_content(known: Dataset, data: RealData, asked: Request) -> None:
    """Says on stderr where what was read is not the whole official dataset."""
    counts = (len(data.train_labels), len(data.test_labels))
    if counts != known.images:
        say_once(
            f"{asked.data_dir} holds {counted(counts[0], 'image')} to train on and {counts[1]} to test on, "
            f"the whole of {data.name} has {known.images[0]} and {known.images[1]}"
        )
    elif known.fingerprint is not None and asked.size in (None, known.size) and data.fingerprint != known.fingerprint:
        say_once(f"{asked.data_dir} holds other images or labels than the official {data.name}")


def _of_classes(data: RealData, classes: str | Sequence[str], progress: Reporter) -> RealData:
    """The images of some classes, in the order in which these are asked for."""
    chosen = choose_classes(classes, data.class_names, data.name)
    new = torch.full((data.classes,), -1, dtype=torch.int64)
    for label, one in enumerate(chosen):
        new[data.class_names.index(one.key)] = label
    parts = []
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        kept = new[labels] >= 0
        parts.append((images[kept], new[labels[kept]]))
    names = tuple(one.name for one in chosen)
    return RealData.of(data.name, parts[0], parts[1], names, split=data.split, progress=progress)


def _as_published(name: str, data: RealData) -> RealData:
    known = DATASETS.get(name)
    if known is not None:
        mean, std = known.published
    elif data.channels == 3 and _is_of_imagenet(data):
        mean, std = IMAGENET
    else:
        raise InputError(
            f"{name} has no published mean and std, as the named datasets and folders of ImageNet's classes have: "
            "leave --normalization out, which computes them"
        )
    return replace(data, mean=mean, std=std)


def _is_of_imagenet(data: RealData) -> bool:
    names = imagenet_names()
    return set(data.class_names) <= {*names, *names.values()}


def folders_of(name: str, data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """The folders that :func:`load_dataset` would read from, besides the package's own."""
    named = [name.removeprefix(FOLDER)] if name.startswith(FOLDER) else []
    return [Path(folder) for folder in (*named, data_dir) if folder]
