"""What a method may ask for: real batches, synthetic images, networks, augmentation, its share of the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.batches import ClassBatches, RealImages
from gsdd_runtime.distillation.drawing import DrawnNetwork
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.training.augmentation import DsaDraw, augmented_together, draw_dsa


@dataclass(frozen=True)
class Setting:
    """What is known of a run before its method's options are settled.

    Attributes:
        data: the real images.
        ipc: the storage, in float32 images a class.
        gpc: images a class.
        device: its name.
        network: its name.
    """

    data: RealData
    ipc: int
    gpc: int
    device: str
    network: str


class Problem:
    """The real images, the synthetic ones, and the chance of a run.

    Image ``c * gpc + i`` of the synthetic ones is image ``i`` of class ``c``.

    Args:
        setting: of the run.
        real: the real images by class.
        augment: ``"dsa"`` or ``"none"``.
        seed: of the run.
        rank, ranks: which share of the work this process does, of how many.

    Attributes:
        data, gpc, ipc, device, seed: of the run.
        images: the synthetic ones, once there are any.
        labels: of the synthetic images, int64 ``[M]`` on the device.
        network: whose weights are drawn by key; gradients of weights are not asked for.
    """

    images: SyntheticImages

    def __init__(
        self,
        setting: Setting,
        real: RealImages,
        *,
        augment: str,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.setting = setting
        self.data = setting.data
        self.gpc, self.ipc = setting.gpc, setting.ipc
        self.device = torch.device(setting.device)
        self.seed = seed
        self.rank, self.ranks = rank, ranks
        self.augment = augment
        self.real_images = real
        self.labels = torch.arange(self.data.classes, device=self.device).repeat_interleave(self.gpc)
        self.network = self.new_network()

    @property
    def classes(self) -> int:
        return self.data.classes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.data.height, self.data.width

    @property
    def given(self) -> int:
        """Real and synthetic images that were asked for so far."""
        return self.real_images.given + self.images.given

    def own_classes(self) -> Tensor:
        """The classes that this rank works on, int64, rising."""
        return torch.arange(self.rank, self.classes, self.ranks)

    def parts(self, count: int = 1, *, in_turn: bool = False) -> Iterator[list[int] | None]:
        """The classes that this rank works on, ``count`` at a time.

        Args:
            count: of classes.
            in_turn: all classes one by one in their order, with None for each that is another rank's: where the images
                move after each of them.
        """
        if not in_turn:
            yield from (part.tolist() for part in self.own_classes().split(count))
            return
        own = set(self.own_classes().tolist())
        yield from ([index] if index in own else None for index in range(self.classes))

    def own(self, count: int) -> range:
        """This rank's share of ``count`` parts of a step."""
        return range(self.rank, count, self.ranks)

    def new_network(self, name: str | None = None, *, trainable: bool = False) -> DrawnNetwork:
        """A module of its own; the run's network where no name is given.

        Args:
            name: as ``networks.build`` takes it.
            trainable: whether its weights ask for gradients.
        """
        return DrawnNetwork(
            name or self.setting.network, self.data.channels, self.classes, self.size,
            seed=self.seed, device=self.device, trainable=trainable,
        )  # fmt: skip

    def generator(self, *key: str | int) -> torch.Generator:
        """A CPU generator that follows from the run's seed and a key, such as ``("match", step, "draw", index)``."""
        return derived_generator(self.seed, *key)

    def real(self, step: int, classes: Sequence[int], count: int, purpose: str = "real") -> ClassBatches:
        """``count`` different real images of each of ``classes``, as a network takes them; see ``RealImages``."""
        return self.real_images.batches(step, classes, count, purpose)

    def real_positions(self, step: int, index: int, count: int, purpose: str = "real") -> Tensor:
        """Which training images of class ``index`` :meth:`real` takes, for ``real_images.inputs`` part by part."""
        return self.real_images.drawn(index, count, "match", step, purpose)

    def synthetic(self, indices: Tensor | None = None) -> Tensor:
        """Synthetic images as a network takes them, a leaf whose gradient moves them.

        Args:
            indices: int64 ``[B]``, all different; every image if left out.

        Returns:
            float32 ``[B, C, H, W]``.
        """
        return self.images.leaf(torch.arange(len(self.images)) if indices is None else indices)

    def synthetic_now(self, indices: Tensor | None = None) -> Tensor:
        """As :meth:`synthetic`, without a gradient: for training a network on the set."""
        return self.images.now(torch.arange(len(self.images)) if indices is None else indices)

    def synthetic_batches(self, step: int, classes: Sequence[int], count: int) -> ClassBatches:
        """``count`` different synthetic images of each of ``classes`` for ``step``, leaves."""
        chosen = [self.synthetic_indices(step, index, count) for index in classes]
        return ClassBatches(self.synthetic(torch.cat(chosen)), tuple(classes), (count,) * len(classes))

    def synthetic_indices(self, step: int, index: int, count: int) -> Tensor:
        """Which synthetic images of class ``index`` those of a step are, int64 ``[count]``."""
        members = torch.arange(self.gpc)
        if count < self.gpc:
            generator = self.generator("match", step, "synthetic", index)
            members = torch.randperm(self.gpc, generator=generator)[:count]
        return index * self.gpc + members

    def augmentation(self, *key: str | int, count: int = 1) -> DsaDraw | None:
        """The draw of a key, for one batch or ``count`` images of their own amounts; None where nothing is augmented.

        The same key gives real and synthetic images the same change.
        """
        return None if self.augment == "none" else draw_dsa(self.generator(*key), count)

    def augmented(self, step: int, batches: ClassBatches) -> Tensor:
        """The images of ``batches``, those of each class changed by the one draw of that class and step."""
        if self.augment == "none":
            return batches.images
        draws = [draw_dsa(self.generator("match", step, "augment", index)) for index in batches.classes]
        return augmented_together(draws, batches.images, batches.sizes)
