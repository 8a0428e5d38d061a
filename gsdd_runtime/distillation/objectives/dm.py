"""Distribution matching (Zhao and Bilen, arXiv 2110.04181), as GSDD uses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from gsdd_runtime.distillation.batches import ClassBatches, PassOptions
from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.objectives.mean_distance import mean_distance
from gsdd_runtime.distillation.objectives.objective import ELSEWHERE, Footprint, Loss, Objective
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Network
from gsdd_runtime.networks.embedding import embedded

UPDATES = ("step", "class")


class DistributionMatching(Objective):
    """The squared distance between mean embeddings of real and of synthetic images, summed over classes.

    Each step embeds with a fresh random network; the real and the synthetic images of a class are augmented with
    the same draw.
    """

    @dataclass(frozen=True)
    class Options(PassOptions):
        update: str = option(
            "step", "Images move once a step, or for each class in turn, as GSDD's code does.", choices=lambda: UPDATES
        )

    apart: ClassVar[bool] = True

    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__(problem, options)
        self.update = "loss" if options.update == "class" else "step"
        self._per_pass = int(options.classes_per_pass or 1)

    @classmethod
    def settled(cls, options: Any, setting: Setting) -> Any:
        if options.update == "class":
            if options.classes_per_pass not in (None, 1):
                raise InputError(
                    "update class takes one class at a time: leave classes_per_pass out, or choose update step"
                )
            options = replace(options, classes_per_pass=1)
        return options.settled(setting)

    @classmethod
    def default_iterations(cls, options: Any) -> int:
        return 20000

    def shares(self) -> tuple[int, str]:
        return self.problem.classes, "class"

    def losses(self, step: int) -> Iterator[Loss]:
        network = self.problem.network.draw("match", step, "network")
        for classes in self.problem.parts(self._per_pass, in_turn=self.update == "loss"):
            if classes is None:
                yield ELSEWHERE
                continue
            real = self.problem.real(step, classes, self.options.batch_real)
            yield Loss(self._distance(step, network, real, classes))

    def footprint(self) -> Footprint:
        own = len(self.problem.own_classes())
        return Footprint(-(-own // self._per_pass), min(own, self._per_pass) * self.options.batch_syn)

    def _distance(self, step: int, network: Network, real: ClassBatches, classes: list[int]) -> torch.Tensor:
        synthetic = self.problem.synthetic_batches(step, classes, self.options.batch_syn)
        with torch.no_grad():
            target = real.class_means(embedded(network, self.problem.augmented(step, real)))
        means = synthetic.class_means(embedded(network, self.problem.augmented(step, synthetic)))
        return mean_distance(means, target)
