"""Real data in memory, its statistics and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS
from gsdd_runtime.wording import counted

# Bytes handed to the hash at once.
_HASH_PART = 1 << 24
# Pixels counted at once: each takes eight bytes while it is.
_COUNT_PART = 1 << 20


@dataclass(frozen=True)
class RealData:
    """A labelled dataset with a training and a test part.

    Attributes:
        name: as given to ``load_dataset``.
        train_images, test_images: uint8 ``[M, C, H, W]``.
        train_labels, test_labels: int64 ``[M]``, positions in ``class_names``.
        mean, std: a number a channel, of the training images in pixel units [0, 1].
        fingerprint: ``sha256:`` and the digest of pixels, labels and class names: equal data, equal
            fingerprint.
        split: how the two parts were told apart, in a sentence, where the reader had to find out.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    split: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor] | None,
        class_names: tuple[str, ...],
        *,
        split: str | None = None,
    ) -> RealData:
        """Real data from tensors, with its statistics and fingerprint computed.

        Args:
            name: for messages.
            train: ``(images, labels)``: uint8 ``[M, C, H, W]``, at least one, and whole numbers ``[M]``, positions in
                ``class_names``.
            test: the same, of any number; None for none, which will do for distilling.
            class_names: one a class.
            split: see above.

        Raises:
            InputError: tensors of another type or shape, or a label out of range.
        """
        check_type("class_names", class_names, (tuple, list), "a tuple of names", "name each class")
        train = _checked_part(f"{name}: train", train, len(class_names))
        if not len(train[1]):
            raise InputError(f"{name}: train holds no image: at least one is needed")
        test = (train[0][:0], train[1][:0]) if test is None else _checked_part(f"{name}: test", test, len(class_names))
        if test[0].shape[1:] != train[0].shape[1:]:
            shapes = " and ".join("x".join(map(str, images.shape[1:])) for images, _ in (train, test))
            raise InputError(f"{name}: images to train and to test on are {shapes}: they must be of one shape")
        class_names = tuple(class_names)
        mean, std = channel_statistics(train[0])
        digest = fingerprint(train, test, class_names)
        return cls(name, *train, *test, class_names, mean, std, digest, split)

    @property
    def channels(self) -> int:
        return self.train_images.shape[1]

    @property
    def height(self) -> int:
        return self.train_images.shape[2]

    @property
    def width(self) -> int:
        return self.train_images.shape[3]

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def preparation(self) -> Preparation:
        """What a network trained on this data takes, from images in pixel units."""
        shape = (self.channels, self.height, self.width)
        return Preparation(f"the dataset {self.name}", shape, self.mean, self.std)

    def normalized(self, images: Tensor) -> Tensor:
        """What a network takes, float32, of uint8 images ``[M, C, H, W]`` on any device."""
        return self.preparation.apply(images.float().div_(255.0))


def check_real_data(data: object) -> None:
    """Raises InputError unless ``data`` is a RealData."""
    remedy = "make one with gsdd.load_dataset(NAME) or gsdd.RealData.of(NAME, (images, labels), None, CLASS_NAMES)"
    check_type("data", data, RealData, "a RealData", remedy)


def _checked_part(where: str, part: tuple[Tensor, Tensor], classes: int) -> tuple[Tensor, Tensor]:
    """Images and int64 labels that fit together."""
    if not (isinstance(part, (tuple, list)) and len(part) == 2 and all(isinstance(one, Tensor) for one in part)):
        raise InputError(f"{where} must be (images, labels), two tensors, got {type(part).__name__}")
    images, labels = part
    if images.dtype != torch.uint8 or images.dim() != 4 or 0 in images.shape[1:] or images.shape[1] > MAX_CHANNELS:
        kind = f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
        raise InputError(
            f"{where}: images must be uint8 [images, 1 to {MAX_CHANNELS} channels, height, width], got {kind}: "
            "scale floats in [0, 1] by 255, round them and convert them"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.shape != images.shape[:1]:
        kind = f"{str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}"
        raise InputError(f"{where}: labels must be whole numbers [{len(images)}], one an image, got {kind}")
    labels = labels.to(torch.int64)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(
            f"{where}: labels are {int(labels.min())} to {int(labels.max())}, out of range for "
            f"{counted(classes, 'class name')}: number the classes from 0"
        )
    return images, labels


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel of uint8 ``[M, C, H, W]``, in pixel units [0, 1].

    From exact counts of the 256 values, so that the result does not depend on threads or order. A channel of
    one single value gets a deviation of 1: it can be divided by.
    """
    values = np.arange(256, dtype=np.float64) / 255.0
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = np.zeros(256, dtype=np.int64)
        for pixels in _parts_of(images[:, channel]):
            counts += np.bincount(pixels.numpy(), minlength=256)
        total = int(counts.sum())
        mean = float((counts * values).sum() / total)
        variance = float((counts * (values - mean) ** 2).sum() / total)
        means.append(mean)
        deviations.append(math.sqrt(variance) if np.count_nonzero(counts) > 1 else 1.0)
    return tuple(means), tuple(deviations)


def _parts_of(channel: Tensor) -> Iterator[Tensor]:
    """The pixels ``[M, H, W]`` of one channel, at most ``_COUNT_PART`` at once, flat."""
    for images in channel.split(max(1, _COUNT_PART // channel[0].numel())):
        yield from images.reshape(-1).split(_COUNT_PART)


def fingerprint(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], class_names: tuple[str, ...]) -> str:
    """``sha256:`` of the shapes and class names as JSON, then pixels and labels, training part first."""
    shapes = [list(images.shape) for images, _ in (train, test)]
    digest = hashlib.sha256(json.dumps({"class_names": list(class_names), "shapes": shapes}).encode())
    for images, labels in (train, test):
        for tensor in (images, labels):
            flat = tensor.contiguous().view(-1)
            for part in flat.split(_HASH_PART):
                digest.update(part.numpy().data)
    return f"sha256:{digest.hexdigest()}"


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 gray images ``[M, 1, H, W]`` scaled to ``size`` by Pillow's area-aware bilinear filter."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    result = torch.empty(images.shape[0], 1, *size, dtype=torch.uint8)
    for index, image in enumerate(images):
        picture = Image.fromarray(image[0].numpy()).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        result[index, 0] = torch.from_numpy(np.array(picture))
    return result
