"""Matching: one step of an objective over all classes, in passes that bound the memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.devices import send
from gsdd_runtime.distillation.batches import ClassBatches, RealImages
from gsdd_runtime.distillation.engine import Phase
from gsdd_runtime.distillation.objectives import Objective
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.seeds import derived_generator


class Matching:
    """Draws real and synthetic batches and adds up the gradients of the objective over the classes.

    Image ``c * gpc + i`` of the representation is image ``i`` of class ``c``.
    """

    def __init__(
        self,
        data: RealData,
        real: RealImages,
        representation: Representation,
        objective: Objective,
        options: ResolvedOptions,
    ) -> None:
        device = torch.device(options.device)
        self._real = real
        self._representation = representation
        self._objective = objective
        self._options = options
        self._device = device
        self._preparation = data.preparation.to(device)
        self._passes = torch.arange(data.classes).split(options.classes_per_pass)

    def phase(self) -> Phase:
        """The matching steps, for the engine."""
        options = self._options
        return Phase("match", options.iterations, options.learning_rate, options.schedule, self.backward)

    def backward(self, step: int) -> Tensor:
        """Adds the gradients of one step to the masters; returns its loss, detached."""
        self._objective.begin(step)
        total = torch.zeros((), device=self._device)
        for part in self._passes:
            classes = part.tolist()
            real = self._real.batches(step, classes, self._options.batch_real)
            loss = self._objective.loss(real, self._synthetic(step, classes))
            loss.backward()
            total += loss.detach()
        return total

    def _synthetic(self, step: int, classes: Sequence[int]) -> ClassBatches:
        gpc, count = self._options.gpc, self._options.batch_syn
        chosen = []
        for index in classes:
            members = torch.arange(gpc)
            if count < gpc:
                generator = derived_generator(self._options.seed, "match", step, "synthetic", index)
                members = torch.randperm(gpc, generator=generator)[:count]
            chosen.append(index * gpc + members)
        images = self._representation.render(send(torch.cat(chosen), self._device))
        return ClassBatches(self._preparation.apply(images), tuple(classes), (count,) * len(classes))
