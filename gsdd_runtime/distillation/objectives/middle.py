"""Matching of features by networks between a random and a trained one: what NCFM and DANCE have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.distillation.batches import BatchOptions
from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.objectives.experts_option import ExpertsOption
from gsdd_runtime.distillation.objectives.objective import ELSEWHERE, Footprint, Loss, Objective
from gsdd_runtime.distillation.problem import Problem
from gsdd_runtime.experts import ExpertFolder
from gsdd_runtime.networks import Network
from gsdd_runtime.networks.embedding import embedded

UPDATES = ("class", "step")


@dataclass(frozen=True)
class MiddleOptions(ExpertsOption, BatchOptions):
    """For the options of such a method to inherit from."""

    update: str = option(
        "class", "Images move for each class in turn, as in the published code, or once a step.",
        choices=lambda: UPDATES,
    )  # fmt: skip


def between(random: Tensor, trained: Tensor, share: float) -> Tensor:
    """Weights ``[parameters]`` on the straight line from ``trained``, where ``share`` is 0, to ``random``."""
    return share * random + (1 - share) * trained


class MiddleMatching(Objective):
    """Each class's features are matched in a network between an expert's first and last weights, then its images are
    told apart by the expert itself: the cross entropy of its last weights, the term of calibration.

    Every step draws an expert and a place between its weights. A method says how two sets of images are matched, in
    :meth:`distance`.

    Args:
        experts: None for fresh random networks, without calibration.
        calibration_weight: of that term.
    """

    apart: ClassVar[bool] = True

    def __init__(self, problem: Problem, options: Any, experts: ExpertFolder | None, calibration_weight: float) -> None:
        super().__init__(problem, options)
        self.update = "loss" if options.update == "class" else "step"
        self._experts = experts
        self._weight = calibration_weight
        self._middle = problem.network
        self._trained = problem.new_network().module if calibration_weight > 0 else None

    def distance(self, step: int, index: int, network: Network, real: Tensor, synthetic: Tensor) -> Tensor:
        """How far the synthetic images of class ``index`` are from the real ones.

        Args:
            step: of the run.
            index: of the class.
            network: of the step.
            real, synthetic: augmented by the same draw, ``[B, C, H, W]``; a gradient flows to the synthetic ones.
        """
        raise NotImplementedError

    def shares(self) -> tuple[int, str]:
        return self.problem.classes, "class"

    def losses(self, step: int) -> Iterator[Loss]:
        network = self._drawn(step)
        for classes in self._turns():
            if classes is None:
                yield ELSEWHERE
                continue
            index = classes[0]
            synthetic = self.problem.synthetic_batches(step, [index], self.options.batch_syn)
            real = self.problem.real(step, [index], self.options.batch_real)
            pair = [self.problem.augmented(step, images) for images in (real, synthetic)]
            distance = self.distance(step, index, network, *pair)
            yield Loss(distance, {"distance": distance.detach()})
        if self._trained is None:
            return
        for classes in self._turns():
            if classes is None:
                yield ELSEWHERE
                continue
            index = classes[0]
            entropy = self._calibration(step, index, self._trained)
            yield Loss(self._weight * entropy, {"calibration": entropy.detach()})

    def _turns(self) -> Iterator[list[int] | None]:
        return self.problem.parts(in_turn=self.update == "loss")

    def footprint(self) -> Footprint:
        terms = 1 if self._trained is None else 2
        return Footprint(terms * len(self.problem.own_classes()), self.options.batch_syn)

    def _calibration(self, step: int, index: int, trained: Network) -> Tensor:
        """The cross entropy of the trained network on the images of a class, augmented by a draw of its own."""
        images = self.problem.synthetic_batches(step, [index], self.options.batch_syn).images
        draw = self.problem.augmentation("match", step, "calibrate", index)
        if draw is not None:
            images = draw.apply(images)
        logits = trained.classifier(embedded(trained, images))
        return functional.cross_entropy(logits, torch.full((len(images),), index, device=logits.device))

    def _drawn(self, step: int) -> Network:
        """The network of the step; the trained one takes its weights too."""
        if self._experts is None:
            return self._middle.draw("match", step, "network")
        generator = self.problem.generator("match", step, "expert")
        expert = int(torch.randint(len(self._experts), (), generator=generator))
        share = float(torch.rand((), generator=generator, dtype=torch.float64))
        random, trained = (self._experts.parameters(expert, epoch) for epoch in (0, -1))
        if self._trained is not None:
            self._put(self._trained, trained)
        self._put(self._middle.module, between(random, trained, share))
        return self._middle.module

    def _put(self, network: Network, weights: Tensor) -> None:
        assert self._experts is not None
        parts = self._experts.subject.unflattened(weights)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(parts[name])
