"""How a network is trained on a set: the protocols that the field evaluates with, in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.networks.published import published_training
from gsdd_runtime.sets.checks import is_number
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.augmentation import chosen_augmentation

DESCENTS = ("sgd", "adamw", "adamw-all")
SCHEDULES = ("step", "cosine", "half-cosine", "fifths")
CUTMIX, DSA_CUTMIX = "cutmix", "dsa-cutmix"
# An argument that is left to the recipe.
AS_RECIPE = "recipe"
# Of a set's facts: the learning rate that was learned with it.
LEARNED_RATE = "learning_rate"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: DM's protocol, unless changed.

    The loss is the cross entropy; with soft labels, between distributions.

    Attributes:
        epochs: passes over the set.
        batch_size: images of a step; the last batch of an epoch may be smaller.
        learning_rate: at the first step.
        momentum: of SGD; AdamW takes betas of 0.9 and 0.999.
        weight_decay: of the optimiser.
        augment: ``"dsa"``; ``"cutmix"``, a random crop scaled up, a flip and CutMix; ``"dsa-cutmix"``, several kinds
            of DSA (``dsa_several``) and CutMix; ``"none"`` or None, which is kept, for the images as they are.
        descent: ``"sgd"``; ``"adamw"``, whose decay spares numbers that are no weights of a layer, as SRe2L's code
            does; ``"adamw-all"``, PyTorch's own.
        schedule: ``"step"`` divides the rate by ten halfway, with a fresh optimiser; ``"cosine"`` lowers it to 0 from
            epoch to epoch; ``"half-cosine"`` only to half of it, as RDED's code does; ``"fifths"`` halves it after each
            fifth of the epochs, as NCFM's code does.
        temperature: that logits are divided by where labels are soft; a teacher's are as well.
        crop_scale: the least share of an image that a random crop of ``"cutmix"`` keeps.
        mixed: share of the batches that CutMix mixes, drawn for each.

    Raises:
        InputError: a number out of range, or another augmentation, descent or schedule.
    """

    epochs: int = 1000
    batch_size: int = 256
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: str | None = "dsa"
    descent: str = "sgd"
    schedule: str = "step"
    temperature: float = 1.0
    crop_scale: float = 0.08
    mixed: float = 1.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
        for name in ("learning_rate", "temperature"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be at least 0 and below 1, got {self.momentum}")
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"weight_decay must be at least 0, got {self.weight_decay}")
        if not 0 < self.crop_scale <= 1:
            raise InputError(f"crop_scale must be above 0 and at most 1, got {self.crop_scale}")
        if not 0 <= self.mixed <= 1:
            raise InputError(f"mixed must be at least 0 and at most 1, got {self.mixed}")
        for name, known in (("descent", DESCENTS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r} is not known: choose one of {', '.join(known)}")
        if self.augment not in (CUTMIX, DSA_CUTMIX):
            object.__setattr__(self, "augment", chosen_augmentation(self.augment))

    def rate(self, epoch: int) -> float:
        """The learning rate of ``epoch``, from 1."""
        if self.schedule == "step":
            return self.learning_rate / (10 if 0 < self.epochs // 2 < epoch else 1)
        if self.schedule == "fifths":
            return self.learning_rate * 0.5 ** sum(part * self.epochs // 5 < epoch for part in range(1, 5))
        share = (epoch - 1) / self.epochs / (2 if self.schedule == "half-cosine" else 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def fresh_optimiser_after(self, epoch: int) -> bool:
        """Whether momentum is forgotten once ``epoch``, from 1, is done."""
        return self.schedule == "step" and epoch == self.epochs // 2

    def optimiser(self, network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        if self.descent == "sgd":
            return torch.optim.SGD(
                network.parameters(), lr=learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
            )
        if self.descent == "adamw-all":
            return torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=self.weight_decay)
        weights = [value for name, value in network.named_parameters() if "weight" in name and value.dim() > 1]
        kept = {id(value) for value in weights}
        others = [value for value in network.parameters() if id(value) not in kept]
        groups = [{"params": weights, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.999))


_TEACHERS = Recipe(
    epochs=300, batch_size=1024, learning_rate=1e-3, momentum=0.0, weight_decay=0.01, augment="cutmix",
    descent="adamw", schedule="cosine", temperature=20.0,
)  # fmt: skip
# The protocols by name, as the published code has them, but for its one epoch more:
# - dm: VICO-UoE/DatasetCondensation, main_DM.py and DSA; GSDD's DM.
# - dc: the same, main.py without DSA.
# - mtt: GeorgeCazenavette/mtt-distillation: DM's with the learned rate.
# - sre2l: VILA-Lab/SRe2L, validate/train_FKD.sh, without its stored label of every view.
# - rded: LINs-lab/RDED, argument.py, without its shuffling of patches; the batch goes by the images a class.
# - ncfm: gszfwsb/NCFM at de92fb8, condenser/evaluate.py and config/, without its teacher.
# - cross: GSDD's evaluate_cross_arch.py: DM's with a cosine, at the rate of each network (``networks.published``).
RECIPES: dict[str, Recipe] = {
    "dm": Recipe(),
    "dc": Recipe(epochs=300, augment=None),
    "mtt": Recipe(),
    "sre2l": _TEACHERS,
    "rded": replace(_TEACHERS, batch_size=100, schedule="half-cosine", crop_scale=0.5),
    "ncfm": Recipe(
        epochs=2000,
        batch_size=128,
        learning_rate=1e-3,
        momentum=0.0,
        weight_decay=0.01,
        augment=DSA_CUTMIX,
        descent="adamw-all",
        schedule="fifths",
        mixed=0.5,
    ),
    "cross": Recipe(schedule="cosine"),
}
# RDED's batches by the least images a class; twice as large from 100 classes on.
_RDED_BATCHES = ((50, 100), (10, 50), (0, 10))


@dataclass(frozen=True)
class ChosenRecipe:
    """A recipe and where it comes from.

    Attributes:
        name: in ``RECIPES``.
        recipe: with all that was changed.
        rate_from: ``"recipe"``, ``"set"`` (learned with it), ``"network"`` (published for it) or ``"option"``.
    """

    name: str
    recipe: Recipe
    rate_from: str


def choose_recipe(
    name: str | None,
    *,
    facts: dict[str, Any] | None = None,
    images: int,
    classes: int,
    network: str,
    **changes: Any,
) -> ChosenRecipe:
    """The recipe of that name with changes.

    Args:
        name: in ``RECIPES``; left out, ``mtt`` where a learning rate was learned with the set, else ``dm``.
        facts: what the set says that training on it needs: under ``learning_rate``, the learned one.
        images, classes: of what is trained on.
        network: that is trained: ``cross`` has a rate for each.
        changes: attributes of :class:`Recipe`; None (for ``augment``: ``AS_RECIPE``) leaves one as it is.

    Raises:
        InputError: an unknown name, a value out of range; ``mtt`` without a learned rate or one that is given.
    """
    learned = learned_rate(facts or {})
    if name is None:
        name = "dm" if learned is None else "mtt"
    check_type("recipe", name, str, "a name", f"choose one of {', '.join(RECIPES)}")
    if name not in RECIPES:
        raise InputError(f"unknown recipe {name!r}: choose one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    if name == "rded":
        batch = next(size for least, size in _RDED_BATCHES if images // classes >= least)
        recipe = replace(recipe, batch_size=min(images, batch * (2 if classes >= 100 else 1)))
    given = {key: value for key, value in changes.items() if value is not None and value != AS_RECIPE}
    if "augment" in changes and changes["augment"] is None:
        given["augment"] = None
    source = "option" if "learning_rate" in given else "recipe"
    if name == "mtt" and source == "recipe":
        if learned is None:
            raise InputError("recipe mtt trains at the rate learned with the set, and none is stated: give a rate")
        given["learning_rate"], source = learned, "set"
    if name == "cross":
        published = published_training(network)
        recipe = replace(recipe, schedule=published.schedule)
        if source == "recipe":
            given["learning_rate"], source = published.learning_rate, "network"
    return ChosenRecipe(name, replace(recipe, **given), source)


def learned_rate(facts: Mapping[str, Any]) -> float | None:
    """The learning rate among what a set says that training on it needs; None where there is none.

    Raises:
        InputError: it is no number above 0.
    """
    learned = facts.get(LEARNED_RATE)
    if learned is not None and not (is_number(learned) and learned > 0):
        raise InputError(f"the learned rate that the set states must be a number above 0, got {learned!r}")
    return learned


def recipe_for(name: str | None, distilled_set: DistilledSet, **changes: Any) -> ChosenRecipe:
    """As :func:`choose_recipe`, for a set."""
    return choose_recipe(
        name, facts=distilled_set.training, images=len(distilled_set), classes=distilled_set.classes, **changes
    )
