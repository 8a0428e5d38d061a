"""Distribution matching (Zhao and Bilen, arXiv 2110.04181), as GSDD uses it."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime import networks
from gsdd_runtime.distillation.batches import ClassBatches
from gsdd_runtime.seeds import derived_generator, derived_seed
from gsdd_runtime.training.augmentation import draw_dsa


class DistributionMatching:
    """The squared distance between mean embeddings of real and of synthetic images, summed over classes.

    Each step embeds with a fresh random network; the real and the synthetic images of a class are augmented with
    the same draw.

    Args:
        network: as ``networks.build`` takes it.
        channels, classes, size: of the images; size is ``(height, width)``.
        augment: ``"dsa"`` or ``"none"``.
        seed: of the run.
        device: where the images are.

    Raises:
        InputError: a network that is not known, or that cannot take the images.
    """

    def __init__(
        self,
        network: str,
        channels: int,
        classes: int,
        size: tuple[int, int],
        *,
        augment: str,
        seed: int,
        device: torch.device,
    ) -> None:
        self._shape = (network, channels, classes, size)
        self._augment = augment
        self._seed = seed
        self._device = device
        self.begin(0)

    def begin(self, step: int) -> None:
        """Draws the network of ``step``."""
        self._step = step
        network = networks.build(*self._shape, seed=derived_seed(self._seed, "match", step, "network"))
        network.requires_grad_(False)
        # Channels last is a third faster on the CPU.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = network.to(self._device)

    def loss(self, real: ClassBatches, synthetic: ClassBatches) -> Tensor:
        with torch.no_grad():
            target = real.class_means(self._network.embed(self._augmented(real)))
        means = synthetic.class_means(self._network.embed(self._augmented(synthetic)))
        return (means - target).square().sum()

    def _augmented(self, batches: ClassBatches) -> Tensor:
        if self._augment == "none":
            return batches.images
        changed = []
        for index, images in zip(batches.classes, batches.images.split(batches.sizes), strict=True):
            generator = derived_generator(self._seed, "match", self._step, "augment", index)
            changed.append(draw_dsa(generator).apply(images))
        return torch.cat(changed)
