"""Real data, in memory or mapped, with what a network takes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gsdd_runtime.datasets import arrays, items
from gsdd_runtime.datasets.statistics import ORDERED_KIND, ordered_fingerprint, scanned
from gsdd_runtime.datasets.whitening import kept_zca
from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS
from gsdd_runtime.wording import counted


@dataclass(frozen=True)
class RealData:
    """A labelled dataset with a training and a test part.

    Attributes:
        name: as given to ``load_dataset``.
        train_images, test_images: uint8 ``[M, C, H, W]``, in memory or mapped from a file.
        train_labels, test_labels: int64 ``[M]``, positions in ``class_names``.
        mean, std: a number a channel in pixel units [0, 1]: of the training images, or as published for the data.
        fingerprint: a digest of pixels, labels and class names: equal data, equal fingerprint, in whatever order.
        split: how the two parts were told apart, in a sentence, where the reader had to find out.
        zca: float32 ``[D + 1, D]``, ``D = C * H * W``: where there is one, networks take whitened images.
        order: a digest of the order of the training images.
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
    zca: Tensor | None = None
    order: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor] | None,
        class_names: tuple[str, ...],
        *,
        split: str | None = None,
        progress: Reporter = silent,
    ) -> RealData:
        """Real data from tensors, with its statistics and fingerprint computed.

        Args:
            name: for messages.
            train: ``(images, labels)``: uint8 ``[M, C, H, W]``, at least one, and whole numbers ``[M]``, positions in
                ``class_names``.
            test: the same, of any number; None for none, which will do for distilling.
            class_names: one a class.
            split: see above.
            progress: told of the images that were counted.

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
        scan = scanned(train, test, progress)
        mean, std = scan.statistics()
        digest = scan.fingerprint(class_names, train[0].shape[1:])
        return cls(name, *train, *test, class_names, mean, std, digest, split, order=scan.order())

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any,
        test_images: Any = None,
        test_labels: Any = None,
        *,
        class_names: Sequence[str] | None = None,
        channels_last: bool | None = None,
        name: str = "arrays",
        progress: Reporter = silent,
    ) -> RealData:
        """Real data from arrays or tensors, which are copied.

        Args:
            images, test_images: uint8, or floats from 0 to 1: ``[M, H, W]``, ``[M, C, H, W]`` or ``[M, H, W, C]``.
            labels, test_labels: whole numbers ``[M]``, from 0. No test part will do for distilling.
            class_names: one a class; their numbers if left out.
            channels_last: whether channels come last; left out, where the sides tell.
            name: for messages.
            progress: told of the images that were copied.

        Raises:
            InputError: another type, shape or range; a class without a training image.
        """
        if (test_images is None) != (test_labels is None):
            raise InputError(f"{name}: give both test_images and test_labels, or neither")
        train = arrays.part_of_arrays(images, labels, f"{name}: training", channels_last, progress)
        test = None
        if test_images is not None:
            test = arrays.part_of_arrays(test_images, test_labels, f"{name}: test", channels_last, progress)
        return cls.of(name, train, test, arrays.names_for(train[1], class_names, name), progress=progress)

    @classmethod
    def from_torch(
        cls,
        dataset: Any,
        test: Any = None,
        *,
        class_names: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str = "cover",
        name: str = "dataset",
        progress: Reporter = silent,
    ) -> RealData:
        """Real data from a ``torch.utils.data.Dataset`` of ``(image, label)``, each item of which is asked for once.

        Give it without random transforms and without normalisation: both belong to training.

        Args:
            dataset: with ``len`` and ``[index]``. An image is a picture of Pillow, or uint8 or floats from 0 to 1 as a
                tensor ``[C, H, W]`` or an array ``[H, W, C]``.
            test: the same; none will do for distilling.
            class_names: one a class; left out, ``dataset.classes`` where there is that, else their numbers.
            size: ``(height, width)`` that images are scaled to, by ``resize``: ``cover`` or ``squash``.
            channels: 1 or 3 for pictures; left out, as the first one is.
            name: for messages.
            progress: told of the items that were copied.

        Raises:
            InputError: a stream, other items, images of different shapes, a label that is no whole number.
        """
        if class_names is None and isinstance(getattr(dataset, "classes", None), (list, tuple)):
            class_names = [str(one) for one in dataset.classes]
        shape = items.Shape(size, channels, resize)
        return cls._from_items(name, items.items_of_torch, dataset, test, class_names, shape, progress)

    @classmethod
    def from_huggingface(
        cls,
        dataset: Any,
        test: Any = None,
        *,
        image: str = "image",
        label: str = "label",
        class_names: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str = "cover",
        name: str = "dataset",
        progress: Reporter = silent,
    ) -> RealData:
        """Real data from Hugging Face's ``datasets`` (the extra ``datasets``): a split, or a dictionary of them.

        Args:
            dataset: one split to train on; or several by name: ``train``, and ``test`` or ``validation``.
            test: a split to test on, in place of that.
            image, label: the columns.
            class_names: one a class; left out, those of the column of labels, else their numbers.
            size, channels, resize, name, progress: as ``from_torch`` takes them.

        Raises:
            InputError: a stream, no such column, or as for ``from_torch``.
        """
        training, split = items.splits_of(dataset)
        test = split if test is None else test
        if class_names is None:
            class_names = items.class_names_of(training, label)
        items_of = partial(items.items_of_huggingface, image=image, label=label)
        shape = items.Shape(size, channels, resize)
        return cls._from_items(name, items_of, training, test, class_names, shape, progress)

    @classmethod
    def _from_items(
        cls,
        name: str,
        items_of: Callable[[Any, str], tuple[items.Item, int]],
        train: Any,
        test: Any | None,
        class_names: Sequence[str] | None,
        shape: items.Shape,
        progress: Reporter,
    ) -> RealData:
        """Of one dataset, or two, whose items and their number ``items_of`` gives, by the words for messages."""

        def part(dataset: Any, words: str, shape: items.Shape) -> arrays.Part:
            where = f"{name}: {words}"
            return items.part_of_items(*items_of(dataset, where), where, shape, progress)

        trained = part(train, "training", shape)
        tested = None if test is None else part(test, "test", shape.like(trained[0]))
        return cls.of(name, trained, tested, arrays.names_for(trained[1], class_names, name), progress=progress)

    @property
    def channels(self) -> int:
        """Of every image: 1 for gray, 3 for color."""
        return self.train_images.shape[1]

    @property
    def height(self) -> int:
        """Of every image, in pixels."""
        return self.train_images.shape[2]

    @property
    def width(self) -> int:
        """Of every image, in pixels."""
        return self.train_images.shape[3]

    @property
    def classes(self) -> int:
        """Their number; labels lie below it."""
        return len(self.class_names)

    @property
    def preparation(self) -> Preparation:
        """What a network trained on this data takes, from images in pixel units."""
        shape = (self.channels, self.height, self.width)
        return Preparation(f"the dataset {self.name}", shape, self.mean, self.std, self.zca)

    def normalized(self, images: Tensor) -> Tensor:
        """What a network takes, float32, of uint8 images ``[M, C, H, W]`` on any device."""
        return self.preparation.apply(images.float().div_(255.0))

    @property
    def identity(self) -> str:
        """The fingerprint, and a digest of what else decides a run's bits: order and preparation of the images."""
        whitens = self.zca is not None
        rest = [self.order, None if whitens else self.mean, None if whitens else self.std, whitens]
        return f"{self.fingerprint}/{hashlib.sha256(json.dumps(rest).encode()).hexdigest()[:16]}"

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether ``fingerprint`` is that of this data, or its identity; of the kind that earlier sets hold, too."""
        if "/" in fingerprint:
            return fingerprint == self.identity
        if fingerprint.startswith(ORDERED_KIND):
            train, test = (self.train_images, self.train_labels), (self.test_images, self.test_labels)
            return fingerprint == ordered_fingerprint(train, test, self.class_names)
        return fingerprint == self.fingerprint

    def whitened(self, progress: Reporter = silent, *, cache: bool = True) -> RealData:
        """The same data, of which networks take ZCA-whitened images, fitted on the training part.

        The matrix is kept where decoded pictures are (``gsdd_runtime.datasets.cache``), unless ``cache`` is False.
        ``progress`` is told of the images that are read for it.

        Raises:
            InputError: images too large for it, see :func:`gsdd_runtime.datasets.whitening.fit_zca`.
        """
        fingerprint = self.fingerprint if cache else None
        return replace(self, zca=kept_zca(self.train_images, self.name, fingerprint, progress))


def check_real_data(data: object) -> None:
    """Raises InputError unless ``data`` is a RealData."""
    remedy = "make one with gsdd.load_dataset(NAME), gsdd.RealData.from_arrays(IMAGES, LABELS) or from_torch(DATASET)"
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


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 images ``[M, C, H, W]`` scaled to ``size`` by Pillow's area-aware bilinear filter."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    result = torch.empty(*images.shape[:2], *size, dtype=torch.uint8)
    for image, scaled in zip(images.flatten(0, 1), result.flatten(0, 1), strict=True):
        picture = Image.fromarray(image.numpy()).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        scaled.copy_(torch.from_numpy(np.array(picture)))
    return result
