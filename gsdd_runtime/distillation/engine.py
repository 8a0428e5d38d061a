"""The loop of distilling: steps, checkpoints, interruption, progress. It knows the seams and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gsdd_runtime import ranks
from gsdd_runtime.distillation.adam import image_adam
from gsdd_runtime.distillation.checkpoint import Checkpoint, CheckpointWriter
from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.objectives import Learned, Objective
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.distillation.sharing import Shared
from gsdd_runtime.distillation.state import NOT_OURS, RunState
from gsdd_runtime.distillation.stopping import Interrupted, StopRequest
from gsdd_runtime.distillation.watching import Moment, Watcher
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.progress import Progress, Reporter, say_once, silent


@dataclass(frozen=True)
class Told:
    """A loss whose gradients have reached the masters.

    Attributes:
        loss: detached.
        parts: scalars for the log, by name.
        images: that were looked at for it.
        moves: whether the masters, and what is learned, are to move by them.
        elsewhere: another of the processes that share the run has the loss, of images that are its own.
    """

    loss: Tensor
    parts: Mapping[str, Tensor | float] = field(default_factory=dict)
    images: int = 0
    moves: bool = True
    elsewhere: bool = False


@dataclass(frozen=True)
class Phase:
    """A stretch of steps: fitting, or matching.

    Attributes:
        name: as progress and checkpoints call it.
        steps: how many.
        learning_rate: at the first step.
        schedule: ``"constant"``, or ``"cosine"`` down to 0 after the last step.
        updates: given a step, for each move of the optimiser adds the gradients of a loss to the masters and tells of
            it. Asked for the next one, it finds the masters moved. All its randomness comes from the seed and the step.
        objective: what it learns beside the images is moved with them, and its state is part of a checkpoint.
        owner: of each image, int64 ``[M]``, where the processes that share a run each move the images of their own;
            None where all move all of them by the sum of their gradients.
    """

    name: str
    steps: int
    learning_rate: float
    schedule: str
    updates: Callable[[int], Iterator[Told]]
    objective: Objective | None = None
    owner: Tensor | None = None

    def learning_rate_factor(self, step: int) -> float:
        """What the learning rate is multiplied by at ``step``."""
        if self.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def learned(self) -> dict[str, Learned]:
        return {} if self.objective is None else self.objective.learned()


def run_phase(
    phase: Phase,
    representation: Representation,
    *,
    start: Checkpoint | None = None,
    writer: CheckpointWriter | None = None,
    stop: StopRequest | None = None,
    progress: Reporter = silent,
    watch: Watcher | None = None,
    division: Division | None = None,
) -> None:
    """Optimises ``representation`` for the steps of ``phase`` with Adam.

    Args:
        phase: what to do.
        representation: changed in place.
        start: the state to go on from, which must be of this phase; the first step if left out. Its tensors are let
            go of.
        writer: writes checkpoints when they are due and on interruption.
        stop: asked after every step.
        progress: told after every step.
        watch: shown every step; a checkpoint is written where it asks for one, which it does in all processes where
            images are divided.
        division: of the images, where ``representation`` has those of this process alone.

    Raises:
        GsddError: the loss or a gradient is not finite.
        InputError: the checkpoint does not fit the representation, or cannot be written.
        Interrupted: a stop was asked for; the checkpoint is written.
    """
    groups = representation.parameter_groups(phase.learning_rate)
    base_rates = [group["lr"] for group in groups]
    optimizer = image_adam(groups)
    learned = {name: one.optimizer([one.value]) for name, one in phase.learned().items()}
    state = RunState(representation, optimizer, phase.objective, learned, division)
    first = 0
    if start is not None:
        if start.step > phase.steps:
            raise InputError(NOT_OURS)
        state.restore(start.tensors)
        start.tensors.clear()
        first = start.step
    shared = Shared(ranks.joined(), state, phase.owner, stop)
    for step in range(first, phase.steps):
        factor = phase.learning_rate_factor(step)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * factor
        if shared.divided:
            shared.due = writer is not None and writer.due(step + 1)
        loss, parts, images = _step(phase, step, state, shared, writer)
        progress(Progress(phase.name, step + 1, phase.steps, loss, parts))
        rate, learned_now = phase.learning_rate * factor, {name: one.value for name, one in phase.learned().items()}
        moment = Moment(phase.name, step + 1, phase.steps, loss, parts, rate, images, learned_now, shared.seconds)
        wanted = watch is not None and bool(watch(moment))
        stopping = shared.stopping()
        if shared.divided:
            due = stopping or wanted or shared.due
        else:
            due = writer is not None and (stopping or wanted or writer.due(step + 1))
        if due and writer is not None:
            writer.write(phase.name, step + 1, state.tensors())
        elif due:
            state.give()
        if stopping:
            # Where one process ends, torchrun soon ends the others: not before the checkpoint is there.
            ranks.joined().wait()
            raise Interrupted(_stopped(phase, step + 1, writer))


def _step(
    phase: Phase, step: int, state: RunState, shared: Shared, writer: CheckpointWriter | None
) -> tuple[float, dict[str, float], int]:
    """Moves the images and what is learned by every update of ``step``.

    Returns:
        The sums of its losses, of their parts, and of the images that were looked at.
    """
    optimizers = [state.optimizer, *state.learned_optimizers.values()]
    total, sums, images = 0.0, dict[str, float](), 0
    _forget(optimizers)
    for told in phase.updates(step):
        loss, parts, looked_at, moves = told.loss, dict(told.parts), told.images, told.moves
        if not shared.divided:
            loss, parts, looked_at, moves = shared.gathered(loss, parts, looked_at, moves)
        penalty = state.representation.penalty() if moves else None
        if penalty is not None:
            penalty.backward()
            loss = loss + penalty.detach()
            parts["penalty"] = penalty.detach()
        if told.elsewhere:
            state.fill_gradients()
        loss = loss + _health(optimizers)
        if shared.divided:
            # The penalty is of this process's images alone, and so is the health.
            loss, parts, looked_at, moves = shared.gathered(loss, parts, looked_at, moves)
        value, *others = _numbers([loss, *parts.values()], loss.device)
        if not math.isfinite(value):
            raise GsddError(_not_finite(phase, step, writer))
        if moves:
            for optimizer in optimizers:
                optimizer.step()
            state.representation.constrain()
            _keep_within(phase.learned())
        _forget(optimizers)
        if told.elsewhere and not shared.divided:
            continue
        total += value
        images += looked_at
        for name, part in zip(parts, others, strict=True):
            sums[name] = sums.get(name, 0.0) + part
    return shared.joined(total, sums, images)


def _health(optimizers: list[torch.optim.Optimizer]) -> Tensor | int:
    """0 where all gradients are finite, else NaN."""
    gradients = [
        part.grad for optimizer in optimizers for group in optimizer.param_groups for part in group["params"]
        if part.grad is not None
    ]  # fmt: skip
    # Zero times a number that is not finite is NaN.
    return sum((gradient * 0).sum() for gradient in gradients)


def _numbers(values: list[Tensor | float], device: torch.device) -> list[float]:
    """``values`` as numbers: one wait for the device."""
    tensors = [torch.as_tensor(value, dtype=torch.float32, device=device).detach() for value in values]
    return [float(number) for number in torch.stack(tensors).tolist()]


def _forget(optimizers: list[torch.optim.Optimizer]) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)


def _keep_within(learned: Mapping[str, Learned]) -> None:
    """Keeps what is learned within its bounds; the first time that one is reached, stderr says so."""
    for name, one in learned.items():
        if one.least is None and one.most is None:
            continue
        with torch.no_grad():
            before = one.value.clone()
            one.value.clamp_(one.least, one.most)
            if not torch.equal(before, one.value):
                bound = one.least if bool((before < one.value).any()) else one.most
                say_once(f"{name} reached its bound {bound:g} and is kept there")


def _not_finite(phase: Phase, step: int, writer: CheckpointWriter | None) -> str:
    where = f"the loss or its gradient is not finite at step {step + 1} of {phase.steps} of {phase.name}"
    lower = f"a learning rate below {phase.learning_rate:g}"
    if writer is None or not writer.path.exists():
        return f"{where}: start anew with {lower}"
    return f"{where} (the last checkpoint is {writer.path}): go on from there with --resume and {lower}, or start anew"


def _stopped(phase: Phase, done: int, writer: CheckpointWriter | None) -> str:
    where = f"stopped after step {done} of {phase.steps} of {phase.name}"
    if writer is None:
        return where
    return f"{where}, saved in {writer.path}: give the same options and --resume to go on"
