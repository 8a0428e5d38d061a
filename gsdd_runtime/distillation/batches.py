"""Batches of real and of rendered images, grouped by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.devices import send
from gsdd_runtime.distillation.declared import option
from gsdd_runtime.errors import InputError
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.training.real_images import near
from gsdd_runtime.wording import counted

if TYPE_CHECKING:
    from gsdd_runtime.distillation.problem import Setting

# What one pass embeds at most. On the CPU 128 images of 32 x 32 stay in the caches, and embed twice as fast as
# 640; on CUDA 1024 keep the device busy and take about 1.3 GB with 128 filters.
PASS_PIXELS = {"cpu": 128 * 32 * 32, "cuda": 1024 * 32 * 32}


@dataclass(frozen=True)
class BatchOptions:
    """Options of a method that sees real and synthetic images class by class."""

    batch_real: int = option(256, "Real images per class and step; a class that has fewer gives all.", least=1)
    batch_syn: int | None = option(None, "Distilled images per class and step.", least=1, shown="all")

    def settled(self, setting: Setting) -> Any:
        """With nothing left open.

        Raises:
            InputError: ``batch_syn`` is more than a class has.
        """
        count = setting.gpc if self.batch_syn is None else self.batch_syn
        if count > setting.gpc:
            raise InputError(
                f"batch_syn is {count}, more than the {counted(setting.gpc, 'image')} of a class: lower it"
            )
        return replace(self, batch_syn=count)


@dataclass(frozen=True)
class PassOptions(BatchOptions):
    """Of one that embeds several classes at once."""

    classes_per_pass: int | None = option(
        None, "Classes embedded at once; lower it to save memory.", least=1, shown="by the size of a batch",
        resume="change",
    )  # fmt: skip

    def settled(self, setting: Setting) -> Any:
        """As of :class:`BatchOptions`."""
        settled = super().settled(setting)
        if self.classes_per_pass is not None:
            return settled
        images = self.batch_real + settled.batch_syn
        return replace(settled, classes_per_pass=default_classes_per_pass(setting.data, images, setting.device))


def default_classes_per_pass(data: RealData, images_per_class: int, device: str) -> int:
    """As many classes as keep a pass within ``PASS_PIXELS``, at least one."""
    pixels = images_per_class * data.height * data.width
    return max(1, min(data.classes, PASS_PIXELS[torch.device(device).type] // pixels))


@dataclass(frozen=True)
class ClassBatches:
    """Images of several classes, class after class.

    Attributes:
        images: as a network takes them, float32 ``[sum(sizes), C, H, W]``.
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

    Images stay bytes, on ``device`` unless there are too many, and are prepared when they are drawn.

    Attributes:
        given: how many images it has given so far.
    """

    def __init__(self, data: RealData, seed: int, device: torch.device) -> None:
        self.given = 0
        self._images = near(data.train_images, device)
        self._seed = seed
        self._device = device
        self._preparation = data.preparation.to(device)
        # One sort, not one search a class: a thousand classes of a million images.
        order = data.train_labels.argsort(stable=True)
        self._members = order.split(torch.bincount(data.train_labels, minlength=data.classes).tolist())

    def members(self, index: int) -> Tensor:
        """Positions of the training images of class ``index``, rising, int64."""
        return self._members[index]

    def batches(self, step: int, classes: Sequence[int], count: int, purpose: str = "real") -> ClassBatches:
        """``count`` different images of each of ``classes`` for ``step``; all of a class that has fewer.

        ``purpose`` tells apart the draws of one step.
        """
        chosen = [self.drawn(index, count, "match", step, purpose) for index in classes]
        return ClassBatches(self.inputs(torch.cat(chosen)), tuple(classes), tuple(len(part) for part in chosen))

    def inputs(self, positions: Tensor) -> Tensor:
        """The training images at ``positions`` as a network takes them, float32 on the device."""
        self.given += len(positions)
        return self._preparation.apply(self._bytes(positions).float().div_(255.0))

    def pixels(self, positions: Tensor) -> Tensor:
        """The training images at ``positions`` in pixel units [0, 1], float32 on the device."""
        return self._bytes(positions).float() / 255

    def _bytes(self, positions: Tensor) -> Tensor:
        """The images at ``positions`` as they are kept, uint8 on the device."""
        return send(self._images[send(positions, self._images.device)], self._device)

    def drawn(self, index: int, count: int, *purpose: str | int) -> Tensor:
        """Positions of ``count`` different images of class ``index``; all of a class that has fewer."""
        members = self._members[index]
        generator = derived_generator(self._seed, *purpose, index)
        return members[torch.randperm(len(members), generator=generator)[:count]]
