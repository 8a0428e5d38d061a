"""Recovery of images from a trained network (SRe2L: Yin, Xing and Shen, arXiv 2306.13092)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.objectives.objective import Footprint, Loss, Objective
from gsdd_runtime.distillation.objectives.statistics_distance import statistics_distance
from gsdd_runtime.distillation.objectives.teacher_option import TeacherOption, norms_of, opened_teacher, with_teacher
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.teaching import teacher_path
from gsdd_runtime.training.mixing import cropped


class Squeeze(Objective):
    """A teacher is to see its classes in the images, and in each batch of them the statistics of its batch norms.

    Batches are the same in every step: image 0 of each class, then image 1 of each, and so on, cut into batches. No
    batch has a part in another's images, so that processes share them without a change of any bit. Real images are not
    looked at. As in the published code (VILA-Lab/SRe2L at 8d00cba, ``recover``), whose defaults these are, but for its
    random shifts, the crop of each image by itself, and Adam's betas, which are the run's.
    """

    @dataclass(frozen=True)
    class Options(TeacherOption):
        batch_syn: int = option(100, "Distilled images whose statistics are matched together.", least=1)
        statistics_weight: float = option(0.01, "Of the distance to the statistics, beside the cross entropy.")
        first_norm_weight: float = option(10.0, "Of the first norm among the others.")
        crop_scale: float = option(
            0.08, "Least share of an image that its random crop keeps, in place of augment; 1 for augment.", above=0
        )

    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__(problem, options)
        self._teacher = opened_teacher(options, problem.setting, "squeeze").to(problem.device)
        self._statistics = [_statistics(layer) for layer in norms_of(self._teacher)]
        order = torch.arange(problem.classes * problem.gpc).view(problem.classes, problem.gpc).T.flatten()
        self._batches = order.split(options.batch_syn)

    @classmethod
    def settled(cls, options: Any, setting: Setting) -> Any:
        if options.crop_scale > 1:
            raise InputError(f"crop_scale must be above 0 and at most 1, got {options.crop_scale}")
        opened_teacher(options, setting, "squeeze")
        return with_teacher(options)

    @classmethod
    def default_iterations(cls, options: Any) -> int:
        return 4000

    @classmethod
    def reads(cls, options: Any) -> tuple[Path, ...]:
        return (teacher_path(Path(options.teacher)),)

    def shares(self) -> tuple[int, str]:
        return len(self._batches), "batch"

    def losses(self, step: int) -> Iterator[Loss]:
        for number in self.problem.own(len(self._batches)):
            indices = self._batches[number]
            images = self._seen(step, number, self.problem.synthetic(indices))
            logits, maps = self._answer(images)
            entropy = functional.cross_entropy(logits, self.problem.labels[indices.to(logits.device)])
            distance = statistics_distance(maps, self._statistics, self.options.first_norm_weight)
            loss = entropy + self.options.statistics_weight * distance
            yield Loss(loss, {"entropy": entropy.detach(), "statistics": distance.detach()})

    def footprint(self) -> Footprint:
        return Footprint(len(self.problem.own(len(self._batches))), len(self._batches[0]))

    def _seen(self, step: int, number: int, images: Tensor) -> Tensor:
        """The images of batch ``number`` as the teacher sees them in ``step``."""
        if self.options.crop_scale < 1:
            return cropped(images, self.problem.generator("match", step, "crops", number), self.options.crop_scale)
        draw = self.problem.augmentation("match", step, "augment", number)
        return images if draw is None else draw.apply(images)

    def _answer(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The teacher's logits, and what each of its batch norms takes."""
        maps: list[Tensor] = []
        watches = [
            layer.register_forward_pre_hook(lambda _, given: maps.append(given[0])) for layer in norms_of(self._teacher)
        ]
        try:
            # All at once: piece by piece there would be no statistics of the batch.
            logits = self._teacher.members[0](self._teacher.taken(images))
        finally:
            for watch in watches:
                watch.remove()
        return logits, maps


def _statistics(layer: torch.nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var
