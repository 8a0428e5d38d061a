"""Matching: the losses of an objective, and the images that they move."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gsdd_runtime.distillation.engine import Phase, Told
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.distillation.objectives import ELSEWHERE, Objective
from gsdd_runtime.distillation.options import ResolvedOptions

# The phase's name.
MATCH = "match"


class Matching:
    """Backpropagates the losses of a step one by one, and lets their gradients through the renderer."""

    def __init__(self, objective: Objective, images: SyntheticImages, options: ResolvedOptions) -> None:
        self._objective = objective
        self._images = images
        self._options = options

    def phase(self) -> Phase:
        """The matching steps, for the engine."""
        options = self._options
        problem = self._objective.problem
        owner = None
        if problem.ranks > 1 and self._objective.update == "loss":
            owner = torch.arange(problem.classes).repeat_interleave(problem.gpc) % problem.ranks
        return Phase(
            MATCH, options.iterations, options.learning_rate, options.schedule, self.updates, self._objective, owner
        )  # fmt: skip

    def updates(self, step: int) -> Iterator[Told]:
        """Adds the gradients of ``step`` to the masters: once, or after each loss, as the objective says."""
        total = torch.zeros((), device=self._options.device)
        parts: dict[str, Tensor | float] = {}
        moves = False
        problem = self._objective.problem
        given = problem.given
        for loss in self._objective.losses(step):
            if loss is ELSEWHERE:
                yield Told(total, elsewhere=True)
                continue
            if loss.moves:
                loss.value.backward()
            told = (loss.value if loss.told is None else loss.told).detach()
            if self._objective.update == "loss":
                self._images.spread()
                yield Told(told, loss.parts, problem.given - given, loss.moves)
                given = problem.given
                continue
            self._images.relieve()
            total += told
            moves |= loss.moves
            for name, part in loss.parts.items():
                parts[name] = parts.get(name, 0.0) + part
        if self._objective.update == "step":
            self._images.spread()
            yield Told(total, parts, problem.given - given, moves)
        # The images have moved.
        self._objective.after(step)
