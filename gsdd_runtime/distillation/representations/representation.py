"""What every representation is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.targets import Targets
from gsdd_runtime.sets.distilled_set import DistilledSet


@dataclass(frozen=True)
class Storage:
    """What fills a budget.

    Attributes:
        gpc: images per class.
        facts: what else the representation decided, by name: JSON values for the file's record.
    """

    gpc: int
    facts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Room:
    """What there is room for.

    Attributes:
        data: for the size of its images.
        ipc: the storage, that of so many float32 pixel images per class.
        gpc: images per class, where they were asked for.
        most: images per class that a default goes up to; None for no such bound.
        noise: the first images are noise, not real ones.
        learning_rate: of the matching, where one was asked for.
    """

    data: RealData
    ipc: int
    gpc: int | None = None
    most: int | None = None
    noise: bool = False
    learning_rate: float | None = None


class Representation(Protocol):
    """Images held as parameters that an optimiser can move. One of the three seams of distilling.

    Attributes:
        Options: its own frozen dataclass, of ``declared.option`` fields.
        learning_rate: of the matching, where none is asked for.
        fitted: it starts from images by fitting them, not by copying.
        divisible: nothing of it depends on all images at once, so that processes may hold a part of them each.
        image_values: pixels times channels of an image.
    """

    Options: ClassVar[type]
    learning_rate: ClassVar[float]
    fitted: ClassVar[bool]
    divisible: ClassVar[bool] = False
    # What draws on a CUDA device, where there is something to draw; a run sets it.
    renderer: str = "auto"
    # The images of the run where these are a part of them; a run sets it.
    among: int | None = None

    @classmethod
    def plan(cls, room: Room, options: Any) -> Storage:
        """The images that ``room`` is filled with.

        Raises:
            InputError: it does not hold ``room.gpc`` images; options that do not fit the data.
        """

    @classmethod
    def fresh(
        cls,
        room: Room,
        storage: Storage,
        options: Any,
        targets: Targets | None,
        seed: int,
        device: str,
        kept: Tensor | None = None,
    ) -> Representation:
        """The first images.

        Args:
            room, storage: as they were planned with and for.
            options: its own.
            targets: images to start from, ``[M, C, H, W]`` in pixel units; None for a random start. What is fitted
                is not yet like them, however it starts.
            seed: of the run.
            device: where the masters are.
            kept: the images that this process holds, int64 ``[M]``, rising, which ``targets`` are of; all if None.
                They start as they would among all.
        """

    @classmethod
    def taken_from(cls, room: Room, storage: Storage, options: Any, rows: Tensor, device: str) -> Representation | None:
        """The first images as the stored rows of a set, ``[M, ...]``; None where they are of another form."""

    def __len__(self) -> int:
        """The number of images."""

    @property
    def image_values(self) -> int: ...

    def render(self, indices: Tensor | None = None, batch: Hashable = None) -> Tensor:
        """Images in pixel units, float32 ``[B, C, H, W]``, differentiable in the parameters.

        What is rendered is what will be stored: the parameters' bfloat16 rounding.

        Args:
            indices: int64 ``[B]``; all images if left out.
            batch: the name of these images among those that take turns: what was found out of them may serve again.
        """

    def draw(self, masters: Mapping[str, Tensor], batch: Hashable = None) -> Tensor:
        """As ``render``, of the images whose masters are given by name, in place of its own."""

    def parameters(self) -> dict[str, Tensor]:
        """The float32 masters by name: leaf tensors, the image first in every shape."""

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The masters as groups for a torch optimiser, each with its own share of the learning rate."""

    def buffers(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside the masters, float32, by name; changed in place."""

    def penalty(self) -> Tensor | None:
        """A term that the loss gains, or None; of a part of the run's images, their share of it."""

    def constrain(self) -> None:
        """Moves the masters back into their range; called after every optimiser step."""

    @property
    def nbytes(self) -> int:
        """Bytes of the images as they will be stored."""

    def stored(self, rows: slice = slice(None)) -> Tensor:
        """Some of the images as a set that is not coded holds them, bfloat16 ``[M, ...]``."""

    def set_of(self, stored: Tensor, labels: Tensor, **metadata: Any) -> DistilledSet:
        """The set of images that were :meth:`stored`, here or by another process."""

    def plain_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        """As ``to_set``, without the work of coding: what can be checked before the first step."""

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        """The images as they will be stored, with ``labels`` int64 ``[M]``, or soft ones ``[M, classes]``."""
