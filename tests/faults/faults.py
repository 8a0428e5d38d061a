"""Kinds of faults, and what has to hold after each."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

from injection import (
    ERRORS,
    KILL,
    OPERATIONS,
    Ended,
    clock_set_back,
    counting,
    failing,
    import_as,
    killed_after,
    limited_memory,
    run_job,
    start,
    wait,
    without_rights,
)
from jobs import JOBS, Job, check_whole, make_inputs

from gsdd_runtime.sets import container
from gsdd_runtime.sets.distilled_set import DistilledSet

MEGABYTE = 1 << 20
DAY = 86400


class BrokenError(AssertionError):
    """Something that must hold after a fault does not."""


class Bench:
    """Where commands are disturbed.

    Args:
        folder: of everything.
        seed: of all chance.
        kills: of each command at random moments.
        calls: of each command, at most, that it is killed in, and as many that fail.
        short: fewer of the faults that are else all tried.

    Attributes:
        deaths: of a command by a kill, until which it is killed; where there is no such number, ``kills`` are tried.
    """

    def __init__(self, folder: Path, seed: int, kills: int, calls: int, *, short: bool) -> None:
        self.kills, self.calls, self.short, self.jobs = kills, calls, short, JOBS
        self.chance = Random(seed)
        self.deaths: int | None = None
        self.inputs, self.report, self._out = folder / "inputs", folder / "report", folder / "out"
        for place in (self.inputs, self.report):
            place.mkdir()
        folder.chmod(0o755)
        self.report.chmod(0o777)
        # In a process of its own: this one must stay without threads, to be forked.
        ended = run_job([], self.report, inject=lambda: make_inputs(self.inputs))
        if not (self.inputs / "set.safetensors").exists():
            raise BrokenError(f"the inputs were not made: {ended.err}")

    def fresh(self) -> Path:
        """An empty folder to write to."""
        shutil.rmtree(self._out, ignore_errors=True)
        self._out.mkdir()
        return self._out

    def undisturbed(self, job: Job) -> None:
        """Learns what the command writes, how long it takes, and which calls it makes."""
        # Twice: the second takes as long as those that are disturbed.
        for _ in range(2):
            out = self.fresh()
            ended = run_job(job.line(self.inputs, out), self.report, inject=counting(out))
            if ended.status:
                raise BrokenError(f"{job.name}, undisturbed: {ended.err}")
            import_as(self.report)
        self.whole, self.seconds, self.counts = job.results(out), ended.seconds, ended.counts
        self.names = sorted(path.name for path in out.iterdir())

    def disturbed(
        self,
        job: Job,
        what: str,
        inject: Callable[[], None] = lambda: None,
        meanwhile: Callable[[int], None] = lambda _: None,
        *,
        again: bool = False,
    ) -> Ended:
        """Runs the command under a fault, and checks what it left; ``again`` as after an earlier one."""
        ended = run_job(job.line(self.inputs, self._out, again=again), self.report, inject, meanwhile)
        self.check_left(job, what, ended)
        return ended

    def check_left(self, job: Job, what: str, ended: Ended, *, may_differ: bool = False) -> None:
        """Raises BrokenError where something under its final name is not whole, or a reason was not told in a line."""
        where = f"{job.name}, {what} (status {ended.status}, {self._out}):\n{ended.err}"
        for name, digest in job.results(self._out).items():
            if self.whole.get(name) != digest and not may_differ:
                raise BrokenError(f"{name} is not what an undisturbed run writes: {where}")
        for path in self._out.rglob("*"):
            if path.is_file() and not any(part.endswith((".partial", ".lock")) for part in path.parts):
                try:
                    check_whole(path)
                except Exception as error:
                    raise BrokenError(f"{path.name} is half-written ({error}): {where}") from error
        if ended.status == 0 or "set.safetensors: " in ended.out:
            if job.results(self._out).keys() != self.whole.keys():
                raise BrokenError(f"what was reported saved is not there: {where}")
            return
        if ended.status == -signal.SIGKILL or ended.aborted:
            return
        if ended.status not in (1, 2) or ended.traceback or not ended.last_line.startswith("gsdd-rt: "):
            raise BrokenError(f"no clear line: {where}")
        left = [path.name for path in self._out.rglob("*") if path.name.endswith((".partial", ".lock"))]
        if left:
            raise BrokenError(f"half-written files stayed, {left}: {where}")

    def check_again(self, job: Job, what: str) -> None:
        """Raises BrokenError where the command, said again, does not end in the bytes of an undisturbed run."""
        ended = run_job(job.line(self.inputs, self._out, again=True), self.report)
        where = f"{job.name}, again after {what} (status {ended.status}, {self._out}):\n{ended.err}"
        if ended.status or job.results(self._out) != self.whole:
            raise BrokenError(f"it does not end in the same bytes: {where}")
        names = sorted(path.name for path in self._out.iterdir())
        if names != self.names:
            raise BrokenError(f"{names} is left, not {self.names}: {where}")


def killed(bench: Bench, job: Job) -> Iterator[str]:
    """SIGKILL at random moments; every third time once more while it goes on."""
    died = 0
    for number in count():
        if number == bench.kills if bench.deaths is None else died >= bench.deaths:
            return
        bench.fresh()
        for again in (False, True) if number % 3 == 2 else (False,):
            moment = bench.chance.random() * bench.seconds
            what = f"killed after {moment:.3f} s"
            ended = bench.disturbed(job, what, meanwhile=killed_after(moment), again=again)
            died += ended.status == -signal.SIGKILL
            yield "killed" if ended.status == -signal.SIGKILL else "over before"
        bench.check_again(job, "a kill")


def killed_at_calls(bench: Bench, job: Job) -> Iterator[str]:
    """SIGKILL at a call that changes the folder: each of them, or some."""
    for operation, number in _calls(bench):
        out = bench.fresh()
        what = f"killed in {operation} {number}"
        ended = bench.disturbed(job, what, inject=failing(out, operation, number, KILL))
        yield f"in a {operation}" if ended.status == -signal.SIGKILL else "over before"
        bench.check_again(job, what)


def failed_calls(bench: Bench, job: Job) -> Iterator[str]:
    """A call that changes the folder fails: each of them, or some; the disk is full, or broken."""
    for operation, number in _calls(bench):
        name = bench.chance.choice(sorted(ERRORS))
        out = bench.fresh()
        what = f"{operation} {number}: {name}"
        ended = bench.disturbed(job, what, inject=failing(out, operation, number, ERRORS[name]))
        yield f"{operation}, {'told in a line' if ended.status else 'got over'}"
        bench.check_again(job, what)


def no_rights(bench: Bench, job: Job) -> Iterator[str]:
    """The folder cannot be written."""
    bench.fresh().chmod(0o555)
    ended = bench.disturbed(job, "no rights", inject=without_rights)
    if ended.status == 0 or any(bench._out.iterdir()):
        raise BrokenError(f"{job.name} wrote into a folder without rights: {ended.err}")
    bench._out.chmod(0o755)
    yield "told in a line"
    bench.check_again(job, "no rights")


def little_memory(bench: Bench, job: Job) -> Iterator[str]:
    """The address space is limited to a little more than it is."""
    for megabytes in (1, 1024) if bench.short else (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024):
        bench.fresh()
        what = f"{megabytes} MB of address space"
        ended = bench.disturbed(job, what, inject=limited_memory(megabytes * MEGABYTE))
        yield "aborted by a library" if ended.aborted else "told in a line" if ended.status else "enough"
        bench.check_again(job, what)


def clock_back(bench: Bench, job: Job) -> Iterator[str]:
    """The wall clock goes back by a day while it runs."""
    for after in (3,) if bench.short else (0, 1, 3, 10, 30):
        bench.fresh()
        bench.disturbed(job, f"clock set back after {after}", inject=clock_set_back(after, DAY))
        if job.results(bench._out) != bench.whole:
            raise BrokenError(f"{job.name}: other bytes with the clock set back")
        yield "same bytes"


def two_at_once(bench: Bench, job: Job) -> Iterator[str]:
    """Two processes with one output: one writes it, and the other, where they meet, says so."""
    for _ in range(1 if bench.short else 5):
        out = bench.fresh()
        others = bench.report / "other"
        others.mkdir(exist_ok=True)
        import time

        begun = time.monotonic()
        first = start(job.line(bench.inputs, out), lambda: None, bench.report)
        time.sleep(bench.chance.random() * bench.seconds / 2)
        second = start(job.line(bench.inputs, out), lambda: None, others)
        ended = [wait(first, bench.report, begun), wait(second, others, begun)]
        if not any(one.status == 0 for one in ended):
            raise BrokenError(f"{job.name}: neither of two wrote it: {ended}")
        for one in ended:
            bench.check_left(job, "two at once", one)
        yield "one refused in a line" if any(one.status for one in ended) else "one after the other, or shared"


def input_replaced(bench: Bench, job: Job) -> Iterator[str]:
    """The set that it reads, mapped, is replaced by another while it runs: it goes on with the one that it opened."""
    yield from _input_changed(bench, job, lambda path: os.replace(_other_set(bench, path), path))


def input_cut(bench: Bench, job: Job) -> Iterator[str]:
    """The set that it reads, mapped, is cut short while it runs."""
    yield from _input_changed(bench, job, lambda path: os.truncate(path, path.stat().st_size // 2))


def _other_set(bench: Bench, path: Path) -> Path:
    other = DistilledSet.load(bench.inputs / path.name)
    beside = path.with_name("beside.safetensors")
    DistilledSet(other.gaussians, other.labels.flip(0), other.height, other.width).save(beside)
    return beside


def _input_changed(bench: Bench, job: Job, change: Callable[[Path], object]) -> Iterator[str]:
    if not job.reads_set:
        return
    moved = bench.inputs / "changing"
    for _ in range(2 if bench.short else 20):
        out = bench.fresh()
        moved.mkdir(exist_ok=True)
        path = moved / "set.safetensors"
        shutil.copy(bench.inputs / path.name, path)
        moment = bench.chance.random() * bench.seconds

        def meanwhile(_: int, path: Path = path, moment: float = moment) -> None:
            time.sleep(moment)
            change(path)

        ended = run_job(job.line(moved, out), bench.report, _map_everything, meanwhile)
        if ended.status == -signal.SIGBUS:
            # As docs/file-format.md says of a cut between the check and the reading.
            yield "ended by SIGBUS"
            continue
        # The other set was opened, where it was there first: that is no fault.
        bench.check_left(job, f"input changed after {moment:.3f} s", ended, may_differ=True)
        yield "told in a line" if ended.status else "done"


def _map_everything() -> None:
    container.IN_MEMORY_BYTES = 0


def _calls(bench: Bench) -> list[tuple[str, int]]:
    every = [(name, number + 1) for name in OPERATIONS for number in range(bench.counts.get(name, 0))]
    return every if len(every) <= bench.calls else sorted(bench.chance.sample(every, bench.calls))


KINDS: dict[str, Callable[[Bench, Job], Iterator[str]]] = {
    "killed": killed,
    "killed in a call": killed_at_calls,
    "call failed": failed_calls,
    "no rights": no_rights,
    "little memory": little_memory,
    "clock set back": clock_back,
    "two at once": two_at_once,
    "input replaced": input_replaced,
    "input cut": input_cut,
}
