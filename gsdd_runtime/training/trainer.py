"""Training a network on a distilled set, by the recipe that the field evaluates with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from gsdd_runtime import networks
from gsdd_runtime.devices import resolve_device, send
from gsdd_runtime.memory import keep_freed_memory
from gsdd_runtime.networks import Network, Size
from gsdd_runtime.networks.embedding import classified
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.distilled_set import DistilledSet, check_distilled_set
from gsdd_runtime.training.augmentation import dsa, dsa_several
from gsdd_runtime.training.mixing import Mix, cropped, cutmix
from gsdd_runtime.training.recipe import AS_RECIPE, CUTMIX, DSA_CUTMIX, Recipe, recipe_for
from gsdd_runtime.training.teacher import Teacher, check_classes
from gsdd_runtime.training.view_labels import ViewLabels, as_labelled

# Decoded images up to this many bytes are kept; beyond, each batch is decoded when it comes.
KEPT_BYTES = 1 << 30
# Reports of one network's training: enough to draw a bar, too few to slow a device down.
REPORTS = 200
# Images that a trained network is shown at once.
FIT_BATCH = 256
# Labels of a batch by its images and their indices.
LabelsOf = Callable[[Tensor, Tensor], Tensor]


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
    recipe: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    size: Size | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    augment: str | None = AS_RECIPE,
    teacher: Teacher | ViewLabels | None = None,
    progress: Reporter = silent,
) -> Network:
    """A network trained on a distilled set, in evaluation mode, on the device.

    Args:
        distilled_set: with mean and std, or a ``zca``: the network takes images prepared by them.
        network: its name, see :func:`gsdd_runtime.networks.build`; that of ``networks.default_network`` for the size
            if None.
        recipe: its name, see :func:`gsdd_runtime.training.recipe.choose_recipe`.
        epochs, batch_size, learning_rate, momentum, weight_decay, augment: as the recipe has them, unless given; see
            :class:`Recipe`.
        teacher: that labels every batch as it is augmented, in place of the set's labels; or what one said of views,
            which the training then sees, by the recipe, for the epochs and in the batches that they are of unless
            others are given.
        seed: fixes the result on a device and a number of threads.
        device: ``auto``, ``cpu`` or ``cuda``.
        size: height and width that the images are decoded at; the set's own if None.
        progress: told of every part of the training.

    Raises:
        InputError: an unknown network or device, a number out of range, a set that cannot be decoded.
    """
    check_distilled_set(distilled_set)
    shape = (distilled_set.height, distilled_set.width) if size is None else size
    name = networks.chosen(network, shape)
    recipe, epochs, batch_size = as_labelled(teacher, recipe, epochs, batch_size)
    chosen = recipe_for(
        recipe, distilled_set, network=name, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        momentum=momentum, weight_decay=weight_decay, augment=augment,
    ).recipe  # fmt: skip
    where = resolve_device(device)
    fresh = networks.build(
        name, distilled_set.channels, distilled_set.classes, shape, derived_generator(seed, "network")
    ).to(where)
    examples = Examples(distilled_set, where, shape)

    def report(epoch: int, loss: Tensor) -> None:
        if is_reported(epoch, chosen.epochs):
            progress(Progress("training", epoch, chosen.epochs, float(loss)))

    if teacher is not None:
        check_classes(teacher, distilled_set.classes, distilled_set.class_names)
        if isinstance(teacher, ViewLabels):
            teacher.check(distilled_set, chosen, shape)
        else:
            teacher = teacher.for_training(distilled_set.preparation, shape).to(where)
    train_network(fresh, examples, chosen, derived_generator(seed, "training"), report, teacher)
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
    teacher: Teacher | ViewLabels | None = None,
) -> None:
    """Trains ``network`` in place.

    Args:
        network: on the device of the examples.
        examples: to train on.
        recipe: how.
        generator: on the CPU; orders the examples and draws the augmentation.
        after_epoch: called with the epoch, from 1, and the loss of its last batch, a tensor of no dimension.
        teacher: that labels every batch as it is augmented; on the device. What one said of views takes the generator's
            place too.
    """
    rate = recipe.rate(1)
    optimiser = recipe.optimiser(network, rate)
    with deterministic_convolutions(next(network.parameters()).device):
        for epoch in range(1, recipe.epochs + 1):
            network.train()
            if recipe.rate(epoch) != rate:
                rate = recipe.rate(epoch)
                for group in optimiser.param_groups:
                    group["lr"] = rate
            drawn = teacher.generator(epoch) if isinstance(teacher, ViewLabels) else generator
            loss = train_epoch(network, examples, recipe, optimiser, drawn, _labels_by(teacher, recipe, epoch))
            if recipe.fresh_optimiser_after(epoch):
                optimiser = recipe.optimiser(network, rate)
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
    labels_of: LabelsOf | None = None,
) -> Tensor:
    """Trains ``network`` in place for one pass over ``examples``; the loss of its last batch, of no dimension.

    ``generator``, on the CPU, orders the examples and draws the augmentation. ``labels_of`` gives a batch other labels,
    float32 ``[B, classes]``, by its images as they were changed, and their indices.
    """
    # Small networks train in three quarters of the time.
    keep_freed_memory()
    loss = torch.zeros(())
    for indices, images, labels, mix in views(examples, recipe, generator):
        logits = classified(network, images)
        # The temperature is that of soft labels: those mixed of hard ones have none.
        temperature = recipe.temperature if labels.dim() == 2 or labels_of is not None else 1.0
        if labels_of is not None:
            labels = labels_of(images, indices)
        elif mix is not None:
            labels = mix.labels(labels, logits.shape[1])
        loss = loss_of(logits, labels, temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.detach()


def views(
    examples: Batches, recipe: Recipe, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor, Mix | None]]:
    """The batches of an epoch: indices, images as they are changed, their own labels, which images were mixed."""
    for indices in torch.randperm(len(examples), generator=generator).split(recipe.batch_size):
        images, labels = examples.batch(indices)
        images, mix = augmented(images, recipe, generator)
        yield indices, images, labels, mix


def _labels_by(teacher: Teacher | ViewLabels | None, recipe: Recipe, epoch: int) -> LabelsOf | None:
    if teacher is None:
        return None
    if isinstance(teacher, ViewLabels):
        return lambda images, indices: teacher.of(epoch, indices, images.device)
    return lambda images, _: teacher.labels(images, recipe.temperature)


def augmented(images: Tensor, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Mix | None]:
    """A batch as the recipe changes it, and which images it mixed."""
    if recipe.augment in (CUTMIX, DSA_CUTMIX):
        crops = recipe.augment == CUTMIX
        images = cropped(images, generator, recipe.crop_scale) if crops else dsa_several(images, generator)
        if recipe.mixed < 1 and float(torch.rand((), generator=generator, dtype=torch.float64)) >= recipe.mixed:
            return images, None
        return cutmix(images, generator)
    return images if recipe.augment is None else dsa(images, generator), None


def loss_of(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross entropy, a tensor of no dimension; between distributions where labels are floats ``[B, classes]``.

    With soft labels, logits are divided by ``temperature``: beside the labels' own entropy, which no weight changes,
    that is SRe2L's and RDED's divergence.
    """
    return functional.cross_entropy(logits if labels.dim() == 1 else logits / temperature, labels)
