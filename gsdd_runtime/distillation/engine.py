"""The loop of distilling: steps, checkpoints, interruption, progress. It knows the seams and nothing else."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.progress import Progress, Reporter, silent


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal after its checkpoint was written; the message says how to go on."""


class StopRequest:
    """Whether a signal has asked the run to stop."""

    def __init__(self) -> None:
        self.asked = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Notes the first signal; a second one stops at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turns SIGINT and SIGTERM into a request to stop after the step; only the main thread can."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    earlier = {number: signal.signal(number, request.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Phase:
    """A stretch of steps with one loss: fitting, or matching.

    Attributes:
        name: as progress and checkpoints call it.
        steps: how many.
        learning_rate: at the first step.
        schedule: ``"constant"``, or ``"cosine"`` down to 0 after the last step.
        backward: given a step, adds the gradients of its loss to the masters and returns the loss, detached. All
            its randomness comes from the seed and the step.
    """

    name: str
    steps: int
    learning_rate: float
    schedule: str
    backward: Callable[[int], Tensor]

    def learning_rate_factor(self, step: int) -> float:
        """What the learning rate is multiplied by at ``step``."""
        if self.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * step / self.steps))


class CheckpointWriter:
    """Writes the state of a run to one path."""

    def __init__(self, path: Path, options: dict[str, Any], fingerprint: str, interval: int) -> None:
        self.path = path
        self.interval = interval
        self._options = options
        self._fingerprint = fingerprint

    def write(self, phase: str, step: int, tensors: dict[str, Tensor]) -> None:
        """The state after ``step`` steps of ``phase``."""
        Checkpoint(phase, step, self._options, self._fingerprint, tensors).save(self.path)


def run_phase(
    phase: Phase,
    representation: Representation,
    *,
    start: Checkpoint | None = None,
    writer: CheckpointWriter | None = None,
    stop: StopRequest | None = None,
    progress: Reporter = silent,
) -> None:
    """Optimises ``representation`` for the steps of ``phase`` with Adam.

    Args:
        phase: what to do.
        representation: changed in place.
        start: the state to go on from, which must be of this phase; the first step if left out.
        writer: writes checkpoints at its interval and on interruption.
        stop: asked after every step.
        progress: told after every step.

    Raises:
        GsddError: the loss or a gradient is not finite.
        InputError: the checkpoint does not fit the representation, or cannot be written.
        Interrupted: a stop was asked for; the checkpoint is written.
    """
    groups = representation.parameter_groups(phase.learning_rate)
    base_rates = [group["lr"] for group in groups]
    optimizer = torch.optim.Adam(groups)
    first = 0
    if start is not None:
        first = _restore(start, phase, representation, optimizer)
    for step in range(first, phase.steps):
        factor = phase.learning_rate_factor(step)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * factor
        loss = _step(phase, step, representation, optimizer, writer)
        progress(Progress(phase.name, step + 1, phase.steps, loss))
        stopping = stop is not None and stop.asked
        if writer is not None and (stopping or (step + 1) % writer.interval == 0):
            writer.write(phase.name, step + 1, _state(representation, optimizer))
        if stopping:
            raise Interrupted(_stopped(phase, step + 1, writer))


def _step(
    phase: Phase,
    step: int,
    representation: Representation,
    optimizer: torch.optim.Optimizer,
    writer: CheckpointWriter | None,
) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss = phase.backward(step)
    penalty = representation.penalty()
    if penalty is not None:
        penalty.backward()
        loss = loss + penalty.detach()
    gradients = [part.grad for part in representation.parameters().values() if part.grad is not None]
    # Zero times a number that is not finite is NaN: one value, and so one wait for the device, tells of all.
    health = loss + sum((gradient * 0).sum() for gradient in gradients)
    if not math.isfinite(float(health)):
        kept = "" if writer is None else f" (the last checkpoint is {writer.path})"
        raise GsddError(
            f"the loss or its gradient is not finite at step {step + 1} of {phase.steps} of {phase.name}{kept}"
            f": start anew with a learning rate below {phase.learning_rate:g}"
        )
    optimizer.step()
    representation.constrain()
    return float(loss)


def _stopped(phase: Phase, done: int, writer: CheckpointWriter | None) -> str:
    where = f"stopped after step {done} of {phase.steps} of {phase.name}"
    if writer is None:
        return where
    return f"{where}, saved in {writer.path}: give the same options and --resume to go on"


def _state(representation: Representation, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"buffer/{name}": value for name, value in representation.buffers().items()}
    for name, part in representation.parameters().items():
        tensors[f"parameter/{name}"] = part.detach()
        for key, value in optimizer.state[part].items():
            tensors[f"optimizer/{name}/{key}"] = value
    return tensors


def _restore(start: Checkpoint, phase: Phase, representation: Representation, optimizer: torch.optim.Optimizer) -> int:
    """Puts the state of ``start`` in place and returns the step to go on with."""
    parts = representation.parameters()
    buffers = representation.buffers()
    expected = {f"parameter/{name}": part.shape for name, part in parts.items()}
    expected |= {f"buffer/{name}": value.shape for name, value in buffers.items()}
    if start.step > 0:
        for name, part in parts.items():
            expected[f"optimizer/{name}/step"] = torch.Size(())
            expected[f"optimizer/{name}/exp_avg"] = part.shape
            expected[f"optimizer/{name}/exp_avg_sq"] = part.shape
    found = {name: tensor.shape for name, tensor in start.tensors.items()}
    whole = found == expected and all(
        tensor.dtype == torch.float32 and bool(tensor.isfinite().all()) for tensor in start.tensors.values()
    )
    if not whole or start.step > phase.steps:
        raise InputError("the checkpoint does not hold the state of this run: remove it to start anew")
    with torch.no_grad():
        for name, value in buffers.items():
            value.copy_(start.tensors[f"buffer/{name}"])
        for name, part in parts.items():
            part.copy_(start.tensors[f"parameter/{name}"])
            for key in ("step", "exp_avg", "exp_avg_sq") if start.step > 0 else ():
                value = start.tensors[f"optimizer/{name}/{key}"]
                # Adam keeps its step count on the CPU.
                optimizer.state[part][key] = value.clone() if key == "step" else value.to(part.device)
    return start.step
