"""What an evaluation found: the accuracies of networks trained on one set, and the whole protocol."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gsdd_runtime.networks import Size
from gsdd_runtime.training.recipe import Recipe


@dataclass(frozen=True)
class Repeat:
    """One network: the share of test images it got right (0 to 1) when it was tested.

    Attributes:
        epochs: of training that it had had at each test; the last test is at the end.
        accuracies: at each of these.
        loss: of the last training batch.
        per_class: the share of each class's test images at the end; of a class that has none, 0.
    """

    epochs: tuple[int, ...]
    accuracies: tuple[float, ...]
    loss: float
    per_class: tuple[float, ...] = ()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Repeat:
        """From its fields as JSON values."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**values)

    @property
    def at_last_epoch(self) -> float:
        """The accuracy at the end of training."""
        return self.accuracies[-1]

    @property
    def at_best_epoch(self) -> float:
        """The best accuracy of all tests: its epoch is chosen on the test images, so an optimistic figure."""
        return max(self.accuracies)


@dataclass(frozen=True)
class EvaluationResult:
    """Test accuracies, as shares from 0 to 1, of networks trained on a distilled set.

    ``last_epoch_...`` are those at the end of training. ``best_epoch_...`` take each network at the test where it did
    best on the test images themselves: an optimistic figure. Both are epochs of training on a finished set, not
    iterations of distilling. Deviations are those of the population, as the field's published code takes them; one
    network has none: 0 here, null in :meth:`to_dict`.

    Attributes:
        repeats: one network each; repeat ``i`` draws its weights and batches from ``seed`` and ``i``.
        network, recipe, size, seed, tests: what was asked for.
        device, threads: what each network ran on; with ``versions`` they decide the last digits.
        distilled, data: which set and which real data.
        recipe_name, rate_from: of the recipe, and what its learning rate is from; see ``training.recipe``.
        accuracy_at: epochs whose accuracy was asked for.
        class_names: of ``Repeat.per_class``.
        teacher: its name, where one labelled what was trained on.
    """

    repeats: tuple[Repeat, ...]
    network: str
    recipe: Recipe
    size: Size
    seed: int
    tests: int
    device: str
    threads: int
    versions: dict[str, str]
    distilled: dict[str, Any]
    data: dict[str, Any]
    recipe_name: str = "dm"
    rate_from: str = "recipe"
    accuracy_at: tuple[int, ...] = ()
    class_names: tuple[str, ...] = field(default=(), compare=False)
    teacher: str | None = None

    @property
    def last_epoch_mean(self) -> float:
        return statistics.fmean(repeat.at_last_epoch for repeat in self.repeats)

    @property
    def last_epoch_std(self) -> float:
        return statistics.pstdev(repeat.at_last_epoch for repeat in self.repeats)

    @property
    def best_epoch_mean(self) -> float:
        return statistics.fmean(repeat.at_best_epoch for repeat in self.repeats)

    @property
    def best_epoch_std(self) -> float:
        return statistics.pstdev(repeat.at_best_epoch for repeat in self.repeats)

    @property
    def per_class(self) -> dict[str, float]:
        """The share of each class's test images, by its name, at the end of training: the mean over networks."""
        columns = zip(*(repeat.per_class for repeat in self.repeats), strict=True)
        return dict(zip(self.class_names, map(statistics.fmean, columns), strict=False))

    def at_epoch(self, epoch: int) -> dict[str, float | None]:
        """Mean and deviation after ``epoch`` epochs of a training that goes on to the recipe's last."""
        return figures([repeat.accuracies[repeat.epochs.index(epoch)] for repeat in self.repeats])

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values. ``best_epoch`` is null where the networks were tested at the end alone."""
        best = {**figures([repeat.at_best_epoch for repeat in self.repeats]),
                "chosen_on": "test images", "of_tests": self.tests}  # fmt: skip
        return {
            "last_epoch": figures([repeat.at_last_epoch for repeat in self.repeats]),
            "best_epoch": best if self.tests > 1 else None,
            "accuracy_at": {str(epoch): self.at_epoch(epoch) for epoch in self.accuracy_at},
            "per_class": self.per_class,
            "repeats": [
                {"last_epoch": repeat.at_last_epoch, "best_epoch": repeat.at_best_epoch, "final_loss": repeat.loss,
                 "epochs": list(repeat.epochs), "accuracies": list(repeat.accuracies)}
                for repeat in self.repeats
            ],
            "network": self.network,
            "recipe": self.recipe_name,
            **asdict(self.recipe),
            "learning_rate_from": self.rate_from,
            "teacher": self.teacher,
            "size": list(self.size),
            "seed": self.seed,
            "device": self.device,
            "threads": self.threads,
            "versions": self.versions,
            "set": self.distilled,
            "data": self.data,
        }  # fmt: skip


def stored_measurement(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a set keeps of one evaluation (``EvaluationResult.to_dict``): its figures and the whole protocol."""
    left_out = ("repeats", "set", "accuracy_at", "per_class")
    kept = {name: value for name, value in result.items() if name not in left_out}
    return {**kept, "networks": len(result["repeats"])}


def figures(shares: Sequence[float]) -> dict[str, float | None]:
    """Mean and deviation (of the population; one alone has none), as JSON values."""
    return {"mean": statistics.fmean(shares), "std": statistics.pstdev(shares) if len(shares) > 1 else None}
