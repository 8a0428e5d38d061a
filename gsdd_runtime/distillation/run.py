"""One run of distilling from start to file: initial images, the two phases, resuming, writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from gsdd_runtime import ranks
from gsdd_runtime.atomic import check_not_read, check_room, remove_partial_files, sole_writer
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.distillation.checkpoint import Checkpoint, CheckpointWriter, checkpoint_path
from gsdd_runtime.distillation.choosing import JUDGED, best_of
from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.engine import Phase, run_phase
from gsdd_runtime.distillation.first_images import first_images
from gsdd_runtime.distillation.fit import FIT, fit_phase, psnr
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.distillation.journal import FITTED, STEP, Journal, Record, last_of, up_to
from gsdd_runtime.distillation.matching import Matching
from gsdd_runtime.distillation.objectives import Objective
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.outcome import Outcome, versions
from gsdd_runtime.distillation.planning import Plan, Timing, plan_of
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.distillation.resuming import check_resumable
from gsdd_runtime.distillation.saving import Saving
from gsdd_runtime.distillation.sharing import check_shared, division_of
from gsdd_runtime.distillation.starts import Source
from gsdd_runtime.distillation.stopping import Interrupted, StopRequest, stop_on_signal
from gsdd_runtime.distillation.telling import Telling
from gsdd_runtime.distillation.watching import Watcher, unwatched
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import best_path, log_path
from gsdd_runtime.memory import keep_freed_memory
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet


def distill_with(options: ResolvedOptions, saving: Saving, telling: Telling) -> DistilledSet:
    """``distill`` with its options resolved; see there."""
    together, out = ranks.joined(), saving.out
    # Without a file every process gives all images back.
    division = None if out is None else division_of(options, together)
    asked = telling
    if together.first:
        telling.check(saving, options)
    else:
        telling = Telling()
    if out is None:
        # Without a file there is no checkpoint, and a signal means what it always means.
        with _repeatable(options.device):
            run = _Run(options, progress=telling.progress)
            telling.say(run.plan().text())
            run.optimise(run.phases(None), None, None, None, telling.progress, Timing(telling.say).saw)
            return run.outcome.made()
    log = log_path(out)
    check_not_read(out, options.reads)
    with sole_writer(out) if together.first else nullcontext():
        checkpoint = checkpoint_path(out)
        for place in (checkpoint, log, best_path(out)) if together.first else ():
            remove_partial_files(place)
        start = saving.earlier_checkpoint(checkpoint, division)
        history = [] if start is None else check_resumable(checkpoint, start, options)
        finished = saving.earlier_set(options, out, unfinished=start is not None)
        records = saving.earlier_log(log) if finished is None else []
        # From here on the first process writes.
        found = [finished is not None, start and start.phase, start and start.step, options.room.data.identity]
        together.check_same(found, "state of the run")
        if finished is not None:
            return finished
        writer = CheckpointWriter(
            checkpoint, options.as_dict(), options.room.data.identity,
            saving.checkpoint_interval, saving.checkpoint_seconds, history,
        )  # fmt: skip
        with stop_on_signal() as stop, _repeatable(options.device):
            run = _Run(options, history, division, telling.progress)
            phases = run.phases(start)
            if not together.first:
                watch = unwatched if division is None else asked.giver(options, run.outcome.drawn, run.outcome.give)
                run.optimise(phases, start, None, stop, telling.progress, watch)
                return run.outcome.made_by_first(out)
            run.check_ending(writer, resumed=start is not None)
            with (
                run.logged(log, records, phases, start) as journal,
                telling.watcher(out, options, run.outcome.drawn, run.outcome.made, journal, start) as watch,
            ):
                telling.say(run.plan().text())
                run.optimise(phases, start, writer, stop, telling.progress, watch, journal)
                distilled = run.outcome.made()
                distilled.save(out)
                run.outcome.tell_fill(distilled, telling.say)
                run.tell_end(journal, out)
            checkpoint.unlink(missing_ok=True)
            together.wait()
    return distilled


def plan_with(options: ResolvedOptions) -> Plan:
    """``plan`` with its options resolved; see there."""
    run = _Run(options, division=division_of(options, ranks.joined()))
    run.check_ending(None, resumed=False)
    return run.plan()


class _Run:
    """The parts of a run, made from its options.

    Args:
        options: with nothing left open.
        history: of its resumptions.
        division: of the images over the processes that share the run; None where each holds all.
        progress: told of the first images, where they take long.
    """

    def __init__(
        self,
        options: ResolvedOptions,
        history: list[Any] | None = None,
        division: Division | None = None,
        progress: Reporter = silent,
    ) -> None:
        self._options = options
        self._division = division
        data, device = options.room.data, torch.device(options.device)
        if device.type == "cpu":
            keep_freed_memory()
        real = RealImages(data, options.seed, device)
        setting = Setting(data, options.ipc, options.gpc, options.device, options.network)
        together = ranks.joined()
        self._problem = Problem(
            setting, real, augment=options.augment, seed=options.seed, rank=together.rank, ranks=together.count
        )
        # Before the images, which take longer: a network that cannot take them is told of.
        self._problem.network.draw("match", 0, "network")
        own = None if division is None else division.own
        source = Source(real, data, self._problem.network, options.gpc, options.seed, device, own, progress)
        self.representation, self._targets = first_images(options, source, division)
        self._problem.images = SyntheticImages(self.representation, data.preparation.to(device), division)
        self._objective = options.objective_type(self._problem, options.method_options)
        self.outcome = Outcome(options, self.representation, self._objective, history or [], division)
        if together.count > 1:
            check_shared(self._objective, options, together.count)

    def plan(self) -> Plan:
        return plan_of(self._options, self.representation, self._objective)

    def phases(self, start: Checkpoint | None) -> list[Phase]:
        """All phases of the run, in order.

        Raises:
            InputError: ``start`` is in none of them.
        """
        options = self._options
        phases = [Matching(self._objective, self._problem.images, options).phase()]
        if options.fit_steps > 0 and self._targets is not None:
            fit = fit_phase(
                self.representation, self._targets, options.fit_steps, options.fit_learning_rate, self._division
            )
            phases.insert(0, fit)
        if start is not None and start.phase not in [phase.name for phase in phases]:
            raise InputError(
                f"the checkpoint is in phase {start.phase!r}, which this run lacks: remove it to start anew"
            )
        return phases

    def check_ending(self, writer: CheckpointWriter | None, *, resumed: bool) -> None:
        """Refuses now, and not after the last step, what cannot be kept."""
        self.outcome.check()
        if writer is not None:
            _check_room(writer.path, self.representation, self._objective, self._images, resumed=resumed)

    @contextmanager
    def logged(
        self, path: Path, records: list[Record], phases: list[Phase], start: Checkpoint | None
    ) -> Iterator[Journal]:
        """The log, which goes on from ``records`` where there is a start; tells in it how the run ended otherwise."""
        names = [phase.name for phase in phases]
        journal = Journal(path, [] if start is None else up_to(records, names, start.phase, start.step))
        try:
            if start is not None:
                journal.write("resume", phase=start.phase, step=start.step, **self._facts())
            else:
                journal.write("start", **self._facts())
            yield journal
        except Interrupted as stopped:
            journal.write("stopped", message=str(stopped))
            raise
        except Exception as error:
            with suppress(InputError):
                journal.write("failed", error=type(error).__name__, message=str(error))
            raise
        finally:
            journal.close()

    def optimise(
        self,
        phases: list[Phase],
        start: Checkpoint | None,
        writer: CheckpointWriter | None,
        stop: StopRequest | None,
        progress: Reporter,
        watch: Watcher,
        journal: Journal | None = None,
    ) -> None:
        """Goes through the phases, from ``start`` on."""
        if writer is None:
            self.check_ending(None, resumed=False)
        first = 0 if start is None else [phase.name for phase in phases].index(start.phase)
        for phase in phases[first:]:
            state = start if start is not None and start.phase == phase.name else None
            run_phase(
                phase, self.representation, start=state, writer=writer, stop=stop, progress=progress, watch=watch,
                division=self._division,
            )  # fmt: skip
            if phase.name == FIT:
                self._tell_fit(phase, journal)

    def _tell_fit(self, phase: Phase, journal: Journal | None) -> None:
        if self._targets is None or (journal is None and self._division is None):
            return
        reached = psnr(self.representation, self._targets)
        found = [float(reached.mean()) * len(reached), float(reached.min())]
        told = [found] if self._division is None else ranks.joined().told(found)
        if journal is not None:
            mean, least = sum(one[0] for one in told) / self._images, min(one[1] for one in told)
            journal.write(FITTED, phase=FIT, step=phase.steps, psnr=mean, least_psnr=least)

    def tell_end(self, journal: Journal, out: Path) -> None:
        """The last record: what the run came to, over all the processes that it took."""
        fitted, last = last_of(journal.records, FITTED), last_of(journal.records, STEP)
        best = best_of(journal)
        journal.write(
            "end",
            psnr=fitted and fitted["psnr"],
            loss=last and last["loss"],
            best=best and {name: best[name] for name in ("step", "accuracy")},
            last=best and last_of(journal.records, JUDGED)["accuracy"],  # type: ignore[index]
            total_seconds=journal.total_seconds(),
            images=self._images,
            bytes=out.stat().st_size,
            training=self._objective.facts(),
        )

    def _facts(self) -> dict[str, Any]:
        data, device = self._options.room.data, torch.device(self._options.device)
        return {
            "data": {
                "name": data.name, "fingerprint": data.fingerprint, "classes": data.classes,
                "train_images": len(data.train_labels), "height": data.height, "width": data.width,
                "class_names": list(data.class_names),
            },
            "options": self._options.as_dict(),
            "plan": self.plan().as_dict(),
            "versions": versions(),
            "device": "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
            "threads": torch.get_num_threads(),
            "processes": ranks.joined().count,
            "images_held": len(self.representation),
        }  # fmt: skip

    @property
    def _images(self) -> int:
        """Of the run, whoever holds them."""
        return len(self._problem.images)


def _check_room(
    checkpoint: Path, representation: Representation, objective: Objective, images: int, *, resumed: bool
) -> None:
    """A checkpoint holds the masters of all images and two moments of each; while one is written, the one before it
    stays.
    """
    held, learned = len(representation), (one.value for one in objective.learned().values())
    masters = _bytes(representation.parameters().values()) // held * images
    size = 3 * (masters + _bytes(learned)) + _bytes(objective.state().values())
    check_room(checkpoint, (1 if resumed else 2) * size + representation.nbytes * images // held)


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _repeatable(device: str) -> AbstractContextManager[None]:
    """Convolutions on CUDA that give the same bits every run; on the CPU they do so anyway."""
    if torch.device(device).type == "cpu":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
