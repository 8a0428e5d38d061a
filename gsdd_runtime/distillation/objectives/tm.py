"""Trajectory matching (Cazenavette et al., arXiv 2203.11932), with the memory of TESLA and DATM's options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.objectives.experts_option import ExpertsOption, opened_experts, with_fingerprint
from gsdd_runtime.distillation.objectives.learned_labels import first_logits
from gsdd_runtime.distillation.objectives.objective import Footprint, Learned, Loss, Objective
from gsdd_runtime.distillation.objectives.trajectory_distance import Unrolling, trajectory_distance
from gsdd_runtime.distillation.objectives.unrolled_memory import StepMemory
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks.dropout import restart_dropout
from gsdd_runtime.seeds import derived_seed
from gsdd_runtime.wording import counted

# Distilled images of an unrolled step where nothing is asked for, and the set holds as many.
DEFAULT_BATCH = 300
# The learned rate is kept above: below 0 the steps would go uphill, and not come back.
LEAST_RATE = 1e-3
RATE_MOMENTUM = 0.5
LABEL_MOMENTUM = 0.9


class TrajectoryMatching(Objective):
    """Steps of SGD on distilled images, from an epoch of an expert, are to end where the expert was epochs later.

    The rate of these steps is learned, and is what a network is to be trained on the set with. A step's images are a
    chunk of a permutation of all, of any classes.
    """

    @dataclass(frozen=True)
    class Options(ExpertsOption):
        syn_steps: int = option(20, "Steps of SGD on distilled images that are unrolled.", least=1)
        expert_epochs: int = option(2, "Epochs of an expert that these steps are to go.", least=1)
        min_start_epoch: int = option(0, "Experts are entered at this epoch or later.", least=0)
        max_start_epoch: int = option(30, "Experts are entered before this epoch.", least=1)
        first_max_start_epoch: int | None = option(
            None, "Before this one at first; the bound then rises to the other (DATM).", least=1,
            shown="max_start_epoch",
        )  # fmt: skip
        expansion_steps: int = option(1000, "Matching steps over which that bound rises.", least=1)
        trajectories: int = option(
            1, "Starts whose gradients are averaged in a step; processes of a run share them.", least=1
        )
        batch_syn: int | None = option(
            None, "Distilled images of an unrolled step; it is what memory goes by.", least=1,
            shown=f"{DEFAULT_BATCH}, or all where there are fewer",
        )  # fmt: skip
        kept_graphs: int | None = option(
            None, "Unrolled steps whose graph stays until it is derived, and is not made again: sooner, the same bits.",
            least=0, shown="as many as 2 GB and a quarter of the free memory hold", resume="change",
        )  # fmt: skip
        most_loss: float | None = option(
            None, "Steps whose loss is above move nothing (DATM, whose release has 1, and 1.1 at IPC 1 of CIFAR-10).",
            above=0, shown="none",
        )  # fmt: skip
        start_rate: float = option(1e-2, "The learned rate of the unrolled steps, at first.", above=0)
        lr_lr: float = option(1e-5, "Rate that the learned rate moves at, by SGD with momentum.")
        learn_labels: bool = option(False, "Learn a soft label for each image, from those of the experts (DATM).")
        label_rate: float = option(2.0, "Rate that learned labels move at, by SGD with momentum.", above=0)

    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__(problem, options)
        self._experts = opened_experts(options, problem.setting, "tm")
        self._student = problem.new_network().module
        self._rate = torch.tensor(options.start_rate, device=problem.device, requires_grad=True)
        self._logits: Tensor | None = None
        if options.learn_labels:
            shape = (len(problem.labels), problem.classes)
            self._logits = torch.zeros(shape, device=problem.device, requires_grad=True)
        data = problem.data
        batch = (int(options.batch_syn or 1), data.channels, data.height, data.width)
        length = self._experts.subject.length
        memory = StepMemory.of(
            partial(self._step_loss, 0), length, batch, data.classes, options.syn_steps, problem.device
        )
        steps, kept = options.syn_steps, options.kept_graphs
        memory.check(batch[0], min(kept or 0, steps), problem.device)
        self._kept = memory.room(steps, problem.device) if kept is None else min(kept, steps)
        self._working_bytes = memory.needed(self._kept)

    @classmethod
    def settled(cls, options: Any, setting: Setting) -> Any:
        images = setting.gpc * setting.data.classes
        batch = min(DEFAULT_BATCH, images) if options.batch_syn is None else options.batch_syn
        if batch > images:
            raise InputError(f"batch_syn is {batch}, more than the {counted(images, 'image')} of the set: lower it")
        first = options.max_start_epoch if options.first_max_start_epoch is None else options.first_max_start_epoch
        if not options.min_start_epoch < first <= options.max_start_epoch:
            raise InputError(
                f"min_start_epoch {options.min_start_epoch} must be below first_max_start_epoch {first}, and that at "
                f"most max_start_epoch {options.max_start_epoch}"
            )
        experts = opened_experts(options, setting, "tm")
        last = options.max_start_epoch - 1 + options.expert_epochs
        if last > experts.epochs:
            raise InputError(
                f"max_start_epoch {options.max_start_epoch} and expert_epochs {options.expert_epochs} reach epoch "
                f"{last}, the experts in {options.experts} have {experts.epochs}: lower one of the two"
            )
        return with_fingerprint(replace(options, batch_syn=batch, first_max_start_epoch=first), experts)

    @classmethod
    def default_iterations(cls, options: Any) -> int:
        return 15000

    def losses(self, step: int) -> Iterator[Loss]:
        if step == 0 and self._logits is not None:
            self._begin_labels(self._logits)
        for number in self.problem.own(self.options.trajectories):
            yield self._of_trajectory(step, () if number == 0 else (number,))

    def _of_trajectory(self, step: int, key: tuple[int, ...]) -> Loss:
        """The loss of one start, whose draws have ``key`` after those of the step; the first one has none."""
        expert, epoch = self._entered(step, key)
        later = epoch + self.options.expert_epochs
        start, target = (self._experts.parameters(expert, e).to(self.problem.device) for e in (epoch, later))
        if not float((start - target).square().sum()) > 0:
            raise InputError(
                f"expert {expert} in {self.options.experts} is the same at epochs {epoch} and {later}: "
                "there is no way to match; make the experts again"
            )
        batches = chunks_of_permutations(
            len(self.problem.labels), self.options.batch_syn, self.options.syn_steps,
            self.problem.generator("match", step, "batches", *key),
        )  # fmt: skip
        used = torch.cat(batches).unique()
        images = self.problem.synthetic(used)
        device = self.problem.device
        places = [torch.searchsorted(used, batch).to(device) for batch in batches]
        unrolling = Unrolling(start, target, places, partial(self._step_loss, step, key=key), self._kept)
        labels = self._targets()[used.to(device)]
        distance = trajectory_distance(unrolling, images, labels, self._rate)
        count, most = self.options.trajectories, self.options.most_loss
        parts = {"start_epoch": epoch / count}
        if most is None:
            return Loss(distance / count, parts)
        left_out = float(distance.detach()) > most
        return Loss(distance / count, parts | {"left_out": float(left_out)}, moves=not left_out)

    def shares(self) -> tuple[int, str]:
        return int(self.options.trajectories), "trajectory"

    def footprint(self) -> Footprint:
        return Footprint(
            len(self.problem.own(self.options.trajectories)), int(self.options.batch_syn or 1), self._working_bytes
        )

    def learned(self) -> dict[str, Learned]:
        rate = partial(torch.optim.SGD, lr=self.options.lr_lr, momentum=RATE_MOMENTUM)
        found = {"learning_rate": Learned(self._rate, rate, least=LEAST_RATE)}
        if self._logits is not None:
            found["label_logits"] = Learned(
                self._logits, partial(torch.optim.SGD, lr=self.options.label_rate, momentum=LABEL_MOMENTUM)
            )
        return found

    def facts(self) -> dict[str, Any]:
        """The learned rate, which training on the set takes where no other is asked for."""
        return {"learning_rate": float(self._rate.detach())}

    def labels(self) -> Tensor | None:
        return None if self._logits is None else self._logits.detach().softmax(dim=1).half()

    def _entered(self, step: int, key: tuple[int, ...] = ()) -> tuple[int, int]:
        """Which expert, and the epoch that it is entered at, both evenly drawn."""
        options = self.options
        rise = (options.max_start_epoch - options.first_max_start_epoch) * step // options.expansion_steps
        before = min(options.first_max_start_epoch + rise, options.max_start_epoch)
        generator = self.problem.generator("match", step, "expert", *key)
        expert = int(torch.randint(len(self._experts), (), generator=generator))
        return expert, int(torch.randint(options.min_start_epoch, before, (), generator=generator))

    def _targets(self) -> Tensor:
        """What each image is to be told as: its class, or its soft label."""
        return self.problem.labels if self._logits is None else self._logits.softmax(dim=1)

    def _step_loss(
        self, step: int, inner: int, weights: Tensor, images: Tensor, labels: Tensor, *, key: tuple[int, ...] = ()
    ) -> Tensor:
        """The cross entropy of an unrolled step. Called again on the way back, it draws the same."""
        draw = self.problem.augmentation("match", step, "augment", *key, inner, count=len(images))
        if draw is not None:
            images = draw.apply(images)
        restart_dropout(self._student, derived_seed(self.problem.seed, "match", step, "dropout", *key, inner))
        parts = self._experts.subject.unflattened(weights)
        return functional.cross_entropy(torch.func.functional_call(self._student, parts, (images,)), labels)

    def _begin_labels(self, logits: Tensor) -> None:
        """Before the first step: the images are those that matching starts from."""
        with torch.no_grad():
            logits.copy_(first_logits(self._experts, self.problem))


def chunks_of_permutations(count: int, size: int, steps: int, generator: torch.Generator) -> list[Tensor]:
    """For each of ``steps``, up to ``size`` of ``count`` indices, int64.

    A permutation is cut into chunks, the short remainder first; when it is used up, the next is drawn.
    """
    chunks: list[Tensor] = []
    while len(chunks) < steps:
        chunks += reversed(torch.randperm(count, generator=generator).split(size))
    return chunks[:steps]
