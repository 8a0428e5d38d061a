"""Training a network on a distilled set, by the recipe that the field evaluates with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from gsdd_runtime import networks
from gsdd_runtime.devices import resolve_device, send
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Network, Size
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.distilled_set import DistilledSet, check_distilled_set
from gsdd_runtime.training.augmentation import chosen_augmentation, dsa

# Decoded images up to this many bytes are kept; beyond, each batch is decoded when it comes.
KEPT_BYTES = 1 << 30
# Reports of one network's training: enough to draw a bar, too few to slow a device down.
REPORTS = 200
# Images that a trained network is shown at once.
FIT_BATCH = 256


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: the protocol of the field, unless changed.

    SGD with momentum and weight decay on the cross entropy (with soft labels: between distributions); the
    learning rate is divided by ten halfway, with a fresh optimiser.

    Attributes:
        epochs: passes over the set.
        batch_size: images of a step; the last batch of an epoch may be smaller.
        learning_rate, momentum, weight_decay: of SGD.
        augment: ``"dsa"``; ``"none"`` or None, which is kept, for the images as they are.

    Raises:
        InputError: a number out of range, or another augmentation.
    """

    epochs: int = 1000
    batch_size: int = 256
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: str | None = "dsa"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be at least 0 and below 1, got {self.momentum}")
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"weight_decay must be at least 0, got {self.weight_decay}")
        object.__setattr__(self, "augment", chosen_augmentation(self.augment))

    def optimiser(self, network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            network.parameters(), lr=learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )


class Batches(Protocol):
    """What a network can be trained on: the images of a set, or real ones."""

    def __len__(self) -> int:
        """The number of images."""

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``[B, C, H, W]`` as a network takes them; labels int64 ``[B]``, or floats ``[B, classes]``."""


class Examples:
    """The images of a set, decoded, as a network takes them and on the device that trains, with their labels.

    Args:
        distilled_set: with mean and std, or a ``zca``.
        device: that trains.
        size: height and width to decode at; the set's own if None.

    Raises:
        InputError: the set has neither, has a ``zca`` for another size, or cannot be decoded.
    """

    def __init__(self, distilled_set: DistilledSet, device: torch.device, size: Size | None = None) -> None:
        self._size = (distilled_set.height, distilled_set.width) if size is None else size
        distilled_set.preparation.for_size(*self._size)
        self._set = distilled_set.to(device)
        self._kept: Tensor | None = None
        values = len(distilled_set) * distilled_set.channels * self._size[0] * self._size[1]
        if values * 4 <= KEPT_BYTES:
            self._kept = self._set.decode(None, *self._size, normalize=True)
        labels = self._set.labels
        self._labels = labels if labels.dim() == 1 else functional.normalize(labels.float(), p=1, dim=1)

    def __len__(self) -> int:
        return len(self._set)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``[B, C, H, W]`` and labels, int64 ``[B]`` or float32 ``[B, classes]`` that sum to 1."""
        if self._kept is None:
            images = self._set.decode(indices, *self._size, normalize=True)
        else:
            images = self._kept[send(indices, self._kept.device)]
        return images, self._labels[send(indices, self._labels.device)]


def train(
    distilled_set: DistilledSet,
    *,
    network: str | None = None,
    epochs: int = 1000,
    seed: int = 0,
    device: str = "auto",
    size: Size | None = None,
    batch_size: int = 256,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    augment: str | None = "dsa",
    progress: Reporter = silent,
) -> Network:
    """A network trained on a distilled set, in evaluation mode, on the device.

    Args:
        distilled_set: with mean and std, or a ``zca``: the network takes images prepared by them.
        network: its name, see :func:`gsdd_runtime.networks.build`; that of ``networks.default_network`` for the size
            if None.
        epochs, batch_size, learning_rate, momentum, weight_decay, augment: see :class:`Recipe`.
        seed: fixes the result on a device and a number of threads.
        device: ``auto``, ``cpu`` or ``cuda``.
        size: height and width that the images are decoded at; the set's own if None.
        progress: told of every part of the training.

    Raises:
        InputError: an unknown network or device, a number out of range, a set that cannot be decoded.
    """
    check_distilled_set(distilled_set)
    recipe = Recipe(epochs, batch_size, learning_rate, momentum, weight_decay, augment)
    where = resolve_device(device)
    shape = (distilled_set.height, distilled_set.width) if size is None else size
    name = networks.chosen(network, shape)
    fresh = networks.build(
        name, distilled_set.channels, distilled_set.classes, shape, derived_generator(seed, "network")
    ).to(where)
    examples = Examples(distilled_set, where, shape)

    def report(epoch: int, loss: Tensor) -> None:
        if is_reported(epoch, epochs):
            progress(Progress("training", epoch, epochs, float(loss)))

    train_network(fresh, examples, recipe, derived_generator(seed, "training"), report)
    return fresh.eval()


@torch.no_grad()
def fit_to_set(network: nn.Module, distilled_set: DistilledSet, size: Size | None = None) -> tuple[float, float]:
    """The mean loss of a trained network on the set itself, as its images are, and the share it gets right (0 to 1).

    With soft labels, right is the likeliest class. ``size`` is that of the training; the set's own if None.
    """
    network.eval()
    examples = Examples(distilled_set, next(network.parameters()).device, size)
    loss, right = 0.0, 0
    for indices in torch.arange(len(examples)).split(FIT_BATCH):
        images, labels = examples.batch(indices)
        logits = network(images)
        loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
        best = labels if labels.dim() == 1 else labels.argmax(dim=1)
        right += int((logits.argmax(dim=1) == best).sum())
    return loss / len(examples), right / len(examples)


def is_reported(epoch: int, epochs: int) -> bool:
    """Whether ``epoch`` (from 1) is one of the about ``REPORTS`` that are told of."""
    return epoch == epochs or epoch % max(1, epochs // REPORTS) == 0


def train_network(
    network: nn.Module,
    examples: Batches,
    recipe: Recipe,
    generator: torch.Generator,
    after_epoch: Callable[[int, Tensor], None],
) -> None:
    """Trains ``network`` in place.

    Args:
        network: on the device of the examples.
        examples: to train on.
        recipe: how.
        generator: on the CPU; orders the examples and draws the augmentation.
        after_epoch: called with the epoch, from 1, and the loss of its last batch, a tensor of no dimension.
    """
    rate = recipe.learning_rate
    optimiser = recipe.optimiser(network, rate)
    with deterministic_convolutions(next(network.parameters()).device):
        for epoch in range(1, recipe.epochs + 1):
            network.train()
            loss = train_epoch(network, examples, recipe, optimiser, generator)
            if epoch == recipe.epochs // 2:
                optimiser = recipe.optimiser(network, rate / 10)
            after_epoch(epoch, loss)


def deterministic_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Without it, the seed would not fix the result on CUDA. It changes the whole process: not for side by side."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


def train_epoch(
    network: nn.Module,
    examples: Batches,
    recipe: Recipe,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> Tensor:
    """Trains ``network`` in place for one pass over ``examples``; the loss of its last batch, of no dimension.

    ``generator``, on the CPU, orders the examples and draws the augmentation.
    """
    loss = torch.zeros(())
    for indices in torch.randperm(len(examples), generator=generator).split(recipe.batch_size):
        images, labels = examples.batch(indices)
        if recipe.augment is not None:
            images = dsa(images, generator)
        loss = functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.detach()
