"""A teacher: trained networks that say what images show, as shares of the classes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Size
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.training.view_labels import ViewLabels
from gsdd_runtime.wording import counted


class Teacher:
    """Networks of one kind, whose answers are averaged.

    Args:
        name: for messages and records.
        members: networks that take images as ``preparation`` makes them, in evaluation mode.
        preparation: of their input, from images in pixel units; it knows the shape of the images.
        classes: of their answers.
        class_names: or None where nothing tells them.
        network: name of their kind, as ``networks.build`` takes it; or None.

    Attributes:
        members: the networks, in evaluation mode; gradients of their weights are not asked for.
    """

    def __init__(
        self,
        name: str,
        members: Sequence[nn.Module],
        preparation: Preparation,
        classes: int,
        class_names: tuple[str, ...] | None,
        *,
        network: str | None = None,
    ) -> None:
        self.name, self.network = name, network
        self.classes, self.class_names = classes, class_names
        self.preparation = preparation
        self.members = [member.eval().requires_grad_(False) for member in members]
        # Makes pixel units of the images that come in, where those are prepared, and not by ``preparation``.
        self._undo: Callable[[Tensor], Tensor] | None = None
        self._prepared = False

    def __len__(self) -> int:
        return len(self.members)

    @property
    def size(self) -> Size:
        """Height and width of the images that it takes."""
        return self.preparation.shape[1], self.preparation.shape[2]

    def to(self, device: torch.device) -> Teacher:
        """With its networks on ``device``."""
        result = copy.copy(self)
        result.members = [member.to(device) for member in self.members]
        result.preparation = self.preparation.to(device)
        return result

    def for_training(self, given: Preparation, size: Size) -> Teacher:
        """One that takes images as ``given`` prepares them, as a network in training does.

        Raises:
            InputError: images of another size or number of channels.
        """
        shape = (given.shape[0], *size)
        if shape != self.preparation.shape:
            theirs, ours = ("x".join(map(str, each)) for each in (shape, self.preparation.shape))
            raise InputError(
                f"the teacher {self.name} takes images of {ours}, not of {theirs}: take another, or that size"
            )
        result = copy.copy(self)
        result._prepared = given.equals(self.preparation)
        result._undo = None if result._prepared else given.inverse()
        return result

    def taken(self, images: Tensor) -> Tensor:
        """What its networks take of ``images``, which come as :meth:`labels` says; differentiable."""
        if self._undo is not None:
            images = self._undo(images)
        return images if self._prepared else self.preparation.apply(images)

    @torch.no_grad()
    def labels(self, images: Tensor, temperature: float = 1.0) -> Tensor:
        """Shares of the classes, float32 ``[B, classes]`` that sum to 1: softmax at a temperature, averaged.

        Args:
            images: float32 ``[B, C, H, W]`` in pixel units, or as :meth:`for_training` was told.
            temperature: that logits are divided by.
        """
        images = self.taken(images)
        shares = [(member(images) / temperature).softmax(dim=1) for member in self.members]
        return torch.stack(shares).mean(dim=0)


def check_classes(teacher: Teacher | ViewLabels, classes: int, class_names: tuple[str, ...] | None) -> None:
    """Raises InputError unless the teacher knows those classes, in that order."""
    if teacher.classes != classes:
        raise InputError(
            f"the teacher {teacher.name} knows {counted(teacher.classes, 'class')}, the set has {classes}: "
            "take one that was trained on the same data"
        )
    if None in (class_names, teacher.class_names) or class_names == teacher.class_names:
        return
    assert class_names is not None
    assert teacher.class_names is not None
    first = next(i for i, (a, b) in enumerate(zip(class_names, teacher.class_names, strict=True)) if a != b)
    raise InputError(
        f"class {first} is {class_names[first]!r} in the set and {teacher.class_names[first]!r} for the teacher "
        f"{teacher.name}: take one that was trained on the same data"
    )
