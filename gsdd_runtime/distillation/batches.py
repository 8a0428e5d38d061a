"""Batches of real and of rendered images, grouped by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.devices import send
from gsdd_runtime.seeds import derived_generator


@dataclass(frozen=True)
class ClassBatches:
    """Images of several classes, class after class.

    Attributes:
        images: normalised, float32 ``[sum(sizes), C, H, W]``.
        classes: which classes, in order.
        sizes: images of each.
    """

    images: Tensor
    classes: tuple[int, ...]
    sizes: tuple[int, ...]

    def class_means(self, values: Tensor) -> Tensor:
        """The mean of ``values`` ``[sum(sizes), F]`` over each class, ``[classes, F]``."""
        return torch.stack([part.mean(dim=0) for part in values.split(self.sizes)])


class RealImages:
    """The real training images by class, drawn from the seed and the step alone.

    The images stay on the CPU as bytes; what is drawn goes to ``device``.
    """

    def __init__(self, data: RealData, seed: int, device: torch.device) -> None:
        self._data = data
        self._seed = seed
        self._device = device
        self._members = [torch.nonzero(data.train_labels == index).flatten() for index in range(data.classes)]

    def batches(self, step: int, classes: Sequence[int], count: int) -> ClassBatches:
        """``count`` different images of each of ``classes`` for ``step``; all of a class that has fewer."""
        chosen = [self._chosen(index, count, "match", step, "real") for index in classes]
        images = send(self._data.train_images[torch.cat(chosen)], self._device)
        return ClassBatches(self._data.normalized(images), tuple(classes), tuple(len(part) for part in chosen))

    def initial(self, count: int) -> Tensor:
        """``count`` different images of every class in [0, 1], float32 ``[classes * count, C, H, W]``."""
        chosen = [self._chosen(index, count, "init") for index in range(self._data.classes)]
        return self._data.train_images[torch.cat(chosen)].to(self._device).float() / 255

    def _chosen(self, index: int, count: int, *purpose: str | int) -> Tensor:
        members = self._members[index]
        generator = derived_generator(self._seed, *purpose, index)
        return members[torch.randperm(len(members), generator=generator)[:count]]
