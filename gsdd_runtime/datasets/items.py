"""Datasets of items, one at a time: PyTorch's and Hugging Face's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gsdd_runtime.datasets.arrays import AT_ONCE, Part, bytes_of, tensor_of
from gsdd_runtime.datasets.images import RESIZES, as_shown, is_gray
from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.progress import Progress, Reporter
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, MAX_SIDE
from gsdd_runtime.wording import counted

# The image and the label of an index.
Item = Callable[[int], tuple[Any, Any]]

_TEST_SPLITS = ("test", "validation", "valid", "val")


@dataclass(frozen=True)
class Shape:
    """What images are made: ``size`` and ``channels`` None for those of the first one; ``resize`` as of pictures."""

    size: tuple[int, int] | None
    channels: int | None
    resize: str

    def like(self, images: Tensor) -> Shape:
        """Of further images, to fit to these."""
        return Shape(self.size, images.shape[1] if images.shape[1] in (1, 3) else None, self.resize)

    def check(self) -> None:
        """Raises InputError for what is no size, number of channels or way to resize."""
        if self.channels not in (None, 1, 3):
            raise InputError(f"channels must be 1 or 3, got {self.channels!r}")
        if self.resize not in RESIZES:
            raise InputError(f"resize {self.resize!r} is not known: choose one of {', '.join(RESIZES)}")
        if self.size is not None and not all(1 <= side <= MAX_SIDE for side in self.size):
            raise InputError(f"the size must be 1 to {MAX_SIDE} pixels a side, got {self.size}")


def part_of_items(item: Item, count: int, where: str, shape: Shape, progress: Reporter) -> Part:
    """uint8 ``[count, C, H, W]`` and int64 ``[count]`` of items ``(image, label)``, each asked for once and in order.

    An image is a picture of Pillow, or uint8 or floats in [0, 1]: ``[H, W]``, ``[C, H, W]`` as a tensor, ``[H, W, C]``
    as an array.

    Raises:
        InputError: anything else; images of different sizes or kinds; a label that is no whole number.
    """
    shape.check()
    images: Tensor | None = None
    labels = torch.empty(count, dtype=torch.int64)
    for index in range(count):
        value, label = item(index)
        pixels = _pixels(value, f"{where}: image {index}", shape)
        if images is None:
            check_memory(count * pixels.numel(), f"{counted(count, 'image')} of {where}", "give a smaller size")
            images = torch.empty(count, *pixels.shape, dtype=torch.uint8)
            shape = shape.like(images)
        if pixels.shape != images.shape[1:]:
            ours, theirs = ("x".join(map(str, one)) for one in (pixels.shape, images.shape[1:]))
            raise InputError(
                f"{where}: image {index} is {ours}, image 0 is {theirs} (channels, height, width): give size=(H, W) "
                "and channels=1 or 3"
            )
        images[index] = pixels
        labels[index] = _label(label, f"{where}: label {index}")
        if index % AT_ONCE == 0 or index + 1 == count:
            progress(Progress(f"copy {where}", index + 1, count))
    return (torch.empty(0, 1, 1, 1, dtype=torch.uint8) if images is None else images), labels


def _pixels(value: Any, where: str, shape: Shape) -> Tensor:
    if isinstance(value, Image.Image):
        picture = ImageOps.exif_transpose(value)
        channels = shape.channels or (1 if is_gray(picture) else 3)
        return as_shown(picture, where, shape.size or picture.size[::-1], channels, shape.resize)
    if not isinstance(value, (np.ndarray, Tensor)):
        raise InputError(
            f"{where} must be a picture, an array or a tensor, got {type(value).__name__}: let the dataset decode it"
        )
    values = tensor_of(value, where)
    if values.dim() == 3 and isinstance(value, np.ndarray):
        values = values.permute(2, 0, 1)
    values = values.unsqueeze(0) if values.dim() == 2 else values
    if values.dim() != 3 or not 1 <= values.shape[0] <= MAX_CHANNELS or 0 in values.shape:
        order = "height, width, channels" if isinstance(value, np.ndarray) else "channels, height, width"
        raise InputError(f"{where} must be [{order}] of 1 to {MAX_CHANNELS} channels, got {list(value.shape)}")
    pixels = bytes_of(values, where)
    if shape.size is None or tuple(pixels.shape[1:]) == tuple(shape.size):
        return pixels
    planes = [
        as_shown(Image.fromarray(plane.contiguous().numpy()), where, shape.size, 1, shape.resize) for plane in pixels
    ]
    return torch.cat(planes)


def _label(value: Any, where: str) -> int:
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{where} must be a whole number, got {type(value).__name__}: number the classes from 0")
    if not -(1 << 31) < int(value) < 1 << 31:
        raise InputError(f"{where} is {int(value)}, which numbers no class")
    return int(value)


def items_of_torch(dataset: Any, where: str) -> tuple[Item, int]:
    """Items and their number, of a dataset with ``len`` and ``[index]``.

    Raises:
        InputError: it has neither.
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise InputError(
            f"{where} must have len() and [index], got {type(dataset).__name__}: copy a stream into a list"
        )

    def item(index: int) -> tuple[Any, Any]:
        pair = dataset[index]
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            kind = type(pair).__name__
            raise InputError(f"{where}: item {index} must be (image, label), got {kind}: wrap the dataset")
        return pair[0], pair[1]

    return item, len(dataset)


def splits_of(dataset: Any) -> tuple[Any, Any]:
    """The part to train on, and the one to test on or None, of Hugging Face's datasets.

    Raises:
        InputError: several splits without one called train.
    """
    if not isinstance(dataset, Mapping):
        return dataset, None
    if "train" not in dataset:
        held = ", ".join(map(str, dataset))
        raise InputError(f"the dataset has no split train, it has {held}: give one split, and test= another")
    return dataset["train"], next((dataset[name] for name in _TEST_SPLITS if name in dataset), None)


def items_of_huggingface(dataset: Any, where: str, *, image: str, label: str) -> tuple[Item, int]:
    """Items and their number, of one split.

    Raises:
        InputError: it is a stream, or has no such columns.
    """
    columns = getattr(dataset, "column_names", None)
    if not hasattr(dataset, "__len__") or columns is None:
        raise InputError(
            f"{where} must be a dataset of Hugging Face's datasets, got {type(dataset).__name__}: load it without "
            "streaming=True"
        )
    for argument, column in (("image", image), ("label", label)):
        if column not in columns:
            raise InputError(f"{where} has no column {column!r}, it has {', '.join(columns)}: name it with {argument}=")

    def item(index: int) -> tuple[Any, Any]:
        row = dataset[index]
        return row[image], row[label]

    return item, len(dataset)


def class_names_of(dataset: Any, label: str) -> list[str] | None:
    """The names that a column of labels has (``ClassLabel``)."""
    features = getattr(dataset, "features", None)
    feature = features.get(label) if isinstance(features, Mapping) else None
    names = getattr(feature, "names", None)
    return list(names) if isinstance(names, (list, tuple)) else None
