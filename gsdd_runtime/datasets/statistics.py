"""What is known of real data once every pixel was seen: mean and deviation a channel, and a fingerprint."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gsdd_runtime.progress import Progress, Reporter, silent

FINGERPRINT_KIND = "sha256-sorted:"
# What earlier sets hold: it depends on the order of the images.
ORDERED_KIND = "sha256:"
# Bytes handed to the hash at once.
_HASH_PART = 1 << 24
# Pixels counted at once: each takes eight bytes while it is.
_COUNT_PART = 1 << 20
# Images between two reports of progress.
_REPORTED = 1024

Part = tuple[Tensor, Tensor]


class Scan:
    """Counts and digests of images that pass by, some at a time, in any order.

    Args:
        channels: of each image.
    """

    def __init__(self, channels: int) -> None:
        self._counts = np.zeros((channels, 256), dtype=np.int64)
        self._digests: dict[str, list[bytes]] = {"train": [], "test": []}

    def add(self, part: str, images: Tensor, labels: Tensor) -> None:
        """Takes uint8 ``[M, C, H, W]`` and int64 ``[M]`` of ``"train"`` or ``"test"``; only the former is counted."""
        if part == "train":
            for channel in range(images.shape[1]):
                for pixels in _parts_of(images[:, channel]):
                    self._counts[channel] += np.bincount(pixels.numpy(), minlength=256)
        digests = self._digests[part]
        for image, label in zip(images.contiguous().numpy(), labels.tolist(), strict=True):
            digest = hashlib.sha256(label.to_bytes(8, "little"))
            digest.update(image.data)
            digests.append(digest.digest())

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation a channel; see :func:`channel_statistics`."""
        values = np.arange(256, dtype=np.float64) / 255.0
        means, deviations = [], []
        for counts in self._counts:
            total = int(counts.sum())
            mean = float((counts * values).sum() / total)
            variance = float((counts * (values - mean) ** 2).sum() / total)
            means.append(mean)
            deviations.append(math.sqrt(variance) if np.count_nonzero(counts) > 1 else 1.0)
        return tuple(means), tuple(deviations)

    def order(self) -> str:
        """A digest of the order of the training images, which draws depend on."""
        return hashlib.sha256(b"".join(self._digests["train"])).hexdigest()[:16]

    def fingerprint(self, class_names: Sequence[str], shape: Sequence[int]) -> str:
        """See :func:`fingerprint`. ``shape`` is channels, height and width."""
        shapes = [[len(self._digests[part]), *shape] for part in ("train", "test")]
        digest = hashlib.sha256(_heading(class_names, shapes))
        for part in ("train", "test"):
            digest.update(b"".join(sorted(self._digests[part])))
        return f"{FINGERPRINT_KIND}{digest.hexdigest()}"


def scanned(train: Part, test: Part, progress: Reporter = silent) -> Scan:
    """A scan of both parts, image by image: mapped ones need not be in memory."""
    scan = Scan(train[0].shape[1])
    total, done = len(train[1]) + len(test[1]), 0
    for name, (images, labels) in (("train", train), ("test", test)):
        for some, theirs in zip(images.split(_REPORTED), labels.split(_REPORTED), strict=True):
            scan.add(name, some, theirs)
            done += len(theirs)
            progress(Progress("check images", done, total))
    return scan


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel of uint8 ``[M, C, H, W]``, in pixel units [0, 1].

    From exact counts of the 256 values, so that the result does not depend on threads or order. A channel of
    one single value gets a deviation of 1: it can be divided by.
    """
    scan = Scan(images.shape[1])
    for some in images.split(_REPORTED):
        scan.add("train", some, torch.zeros(len(some), dtype=torch.int64))
    return scan.statistics()


def _parts_of(channel: Tensor) -> Iterator[Tensor]:
    """The pixels ``[M, H, W]`` of one channel, at most ``_COUNT_PART`` at once, flat."""
    for images in channel.split(max(1, _COUNT_PART // channel[0].numel())):
        yield from images.reshape(-1).split(_COUNT_PART)


def fingerprint(train: Part, test: Part, class_names: Sequence[str]) -> str:
    """``sha256-sorted:`` and a digest of class names, shapes and all images with their labels, in whatever order.

    docs/file-format.md says of what. The same images from a folder, an archive or arrays have the same.
    """
    return scanned(train, test).fingerprint(class_names, train[0].shape[1:])


def ordered_fingerprint(train: Part, test: Part, class_names: Sequence[str]) -> str:
    """``sha256:`` of the shapes and class names as JSON, then pixels and labels in their order, training part first."""
    digest = hashlib.sha256(_heading(class_names, [list(images.shape) for images, _ in (train, test)]))
    for values in _flat(train, test):
        for part in values.split(_HASH_PART):
            digest.update(part.numpy().data)
    return f"{ORDERED_KIND}{digest.hexdigest()}"


def _heading(class_names: Sequence[str], shapes: list[list[int]]) -> bytes:
    return json.dumps({"class_names": list(class_names), "shapes": shapes}).encode()


def _flat(*parts: Part) -> Iterable[Tensor]:
    return (tensor.contiguous().view(-1) for part in parts for tensor in part)
