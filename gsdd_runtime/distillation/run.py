"""One run of distilling from start to file: initial images, the two phases, resuming, writing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.atomic import check_not_read, check_room, remove_partial_files, sole_writer
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.distillation.checkpoint import Checkpoint, CheckpointWriter, checkpoint_path
from gsdd_runtime.distillation.engine import run_phase
from gsdd_runtime.distillation.fit import fit_phase
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.distillation.matching import Matching
from gsdd_runtime.distillation.objectives import Objective
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.distillation.resuming import HISTORY, check_resumable, check_same_run
from gsdd_runtime.distillation.starts import Source
from gsdd_runtime.distillation.stopping import StopRequest, stop_on_signal
from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import keep_freed_memory
from gsdd_runtime.progress import Reporter
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.versions import VERSION


@dataclass(frozen=True)
class Saving:
    """Where a run writes, and when.

    Attributes:
        out: the file; None to write nothing.
        resume: go on from the checkpoint, where there is one.
        overwrite: replace what ``out`` is before.
        checkpoint_interval: steps between checkpoints.
        checkpoint_seconds: after which one is written in any case.
    """

    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    checkpoint_interval: int = 100
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.checkpoint_interval < 1:
            raise InputError(f"checkpoint_interval must be at least 1, got {self.checkpoint_interval}")
        if not self.checkpoint_seconds > 0:
            raise InputError(f"checkpoint_seconds must be above 0, got {self.checkpoint_seconds}")
        if self.resume and self.out is None:
            raise InputError("resume needs out: the checkpoint stands beside that file")


def distill_with(options: ResolvedOptions, saving: Saving, progress: Reporter) -> DistilledSet:
    """``distill`` with its options resolved; see there."""
    out = saving.out
    if out is None:
        # Without a file there is no checkpoint, and a signal means what it always means.
        with _repeatable(options.device):
            return _Run(options).optimised(None, None, None, progress)
    check_not_read(out, [options.start.reads])
    with sole_writer(out):
        checkpoint = checkpoint_path(out)
        remove_partial_files(checkpoint)
        start = _earlier_checkpoint(checkpoint, saving.resume)
        history = [] if start is None else check_resumable(checkpoint, start, options)
        finished = _earlier_set(options, saving, out, unfinished=start is not None)
        if finished is not None:
            return finished
        writer = CheckpointWriter(
            checkpoint, options.as_dict(), options.room.data.fingerprint,
            saving.checkpoint_interval, saving.checkpoint_seconds, history,
        )  # fmt: skip
        with stop_on_signal() as stop, _repeatable(options.device):
            distilled = _Run(options, history).optimised(start, writer, stop, progress)
            distilled.save(out)
            checkpoint.unlink(missing_ok=True)
    return distilled


class _Run:
    """The parts of a run, made from its options.

    Args:
        options: with nothing left open.
        history: of its resumptions.
    """

    def __init__(self, options: ResolvedOptions, history: list[Any] | None = None) -> None:
        self._options = options
        self._history = history or []
        data, device = options.room.data, torch.device(options.device)
        if device.type == "cpu":
            keep_freed_memory()
        real = RealImages(data, options.seed, device)
        setting = Setting(data, options.ipc, options.gpc, options.device, options.network)
        self._problem = Problem(setting, real, augment=options.augment, seed=options.seed)
        # Before the images, which take longer: a network that cannot take them is told of.
        self._problem.network.draw("match", 0, "network")
        source = Source(real, data, self._problem.network, options.gpc, options.seed, device)
        self._representation, self._targets = _first_images(options, source)
        self._problem.images = SyntheticImages(self._representation, data.preparation.to(device))
        self._objective = options.objective_type(self._problem, options.method_options)

    def optimised(
        self,
        start: Checkpoint | None,
        writer: CheckpointWriter | None,
        stop: StopRequest | None,
        progress: Reporter,
    ) -> DistilledSet:
        """Goes through the phases, from ``start`` on."""
        # What cannot be kept is refused now and not after the last step.
        self._described(self._representation.plain_set).check_saving()
        if writer is not None:
            _check_room(writer.path, self._representation, self._objective, resumed=start is not None)
        options = self._options
        phases = [Matching(self._objective, self._problem.images, options).phase()]
        if options.fit_steps > 0 and self._targets is not None:
            fit = fit_phase(self._representation, self._targets, options.fit_steps, options.fit_learning_rate)
            phases.insert(0, fit)
        names = [phase.name for phase in phases]
        if start is not None:
            if start.phase not in names:
                raise InputError(
                    f"the checkpoint is in phase {start.phase!r}, which this run lacks: remove it to start anew"
                )
            phases = phases[names.index(start.phase) :]
        for phase in phases:
            state = start if start is not None and start.phase == phase.name else None
            run_phase(phase, self._representation, start=state, writer=writer, stop=stop, progress=progress)
        return self._described(self._representation.to_set)

    def _described(self, to_set: Callable[..., DistilledSet]) -> DistilledSet:
        options, data = self._options, self._options.room.data
        labels = self._objective.labels()
        return to_set(
            torch.arange(data.classes).repeat_interleave(options.gpc) if labels is None else labels.detach().cpu(),
            class_names=data.class_names,
            mean=data.mean,
            std=data.std,
            zca=data.zca,
            ipc=options.ipc,
            gpc=options.gpc,
            method=options.method,
            options=options.as_dict() | ({HISTORY: self._history} if self._history else {}),
            seed=options.seed,
            fingerprint=data.fingerprint,
            versions={"gsdd-rt": VERSION, "torch": torch.__version__},
            training=self._objective.facts(),
        )


def _first_images(options: ResolvedOptions, source: Source) -> tuple[Representation, Tensor | None]:
    """The images that a run starts from, and what they are fitted to, in pixel units; None where nothing is fitted."""
    made, start = options.representation_type, options.start
    own, room, storage = options.representation_options, options.room, options.storage
    rows = start.rows(source)
    if rows is not None:
        taken = made.taken_from(room, storage, own, rows, options.device)
        if taken is not None:
            return taken, None
    targets = start.images(source)
    fresh = made.fresh(room, storage, own, targets, options.seed, options.device)
    return fresh, targets if made.fitted else None


def _check_room(checkpoint: Path, representation: Representation, objective: Objective, *, resumed: bool) -> None:
    """A checkpoint holds the masters and two moments of each; while one is written, the one before it stays."""
    moved = [*representation.parameters().values(), *(one.value for one in objective.learned().values())]
    size = 3 * _bytes(moved) + _bytes(objective.state().values())
    check_room(checkpoint, (1 if resumed else 2) * size + representation.nbytes)


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _earlier_checkpoint(path: Path, resume: bool) -> Checkpoint | None:
    if not path.exists():
        return None
    if not resume:
        raise InputError(f"{path} holds an unfinished run: add --resume to go on with it, or remove it to start anew")
    return Checkpoint.load(path)


def _earlier_set(options: ResolvedOptions, saving: Saving, out: Path, *, unfinished: bool) -> DistilledSet | None:
    """The set of this run where it had ended before it was to be resumed; None where ``out`` may be written."""
    if not out.exists():
        return None
    taken = InputError(f"{out} exists: add --overwrite to replace it, or choose another place")
    if not saving.resume:
        if saving.overwrite:
            return None
        raise taken
    try:
        finished = DistilledSet.load(out)
        check_same_run(out, finished.options or {}, finished.fingerprint or "", options)
    except InputError as error:
        if saving.overwrite:
            return None
        raise taken if unfinished else error from error
    # With a checkpoint beside it, the run was killed between writing the one and removing the other.
    return None if unfinished else finished


def _repeatable(device: str) -> AbstractContextManager[None]:
    """Convolutions on CUDA that give the same bits every run; on the CPU they do so anyway."""
    if torch.device(device).type == "cpu":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
