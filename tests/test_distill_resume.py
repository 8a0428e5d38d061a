"""Interrupting a run and going on: real processes, real signals, the same bytes at the end."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import distill_job
import pytest

# One server imports torch, and what the first step would import; every run is forked from it, in milliseconds.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["gsdd_runtime.distillation", "torch._dynamo"])


@contextmanager
def running(out: Path, resume: bool, **options: Any) -> Iterator[tuple[BaseProcess, Connection]]:
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=distill_job.run, args=(out, resume, theirs, options))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.join(200)
        ours.close()
        assert process.exitcode is not None


def all_lines(pipe: Connection) -> list[str]:
    lines = []
    try:
        while True:
            lines.append(pipe.recv())
    except EOFError:
        return lines


def finish(out: Path, *, resume: bool, **options: Any) -> tuple[list[str], int | None]:
    """What a run reports to its end, and its exit status."""
    with running(out, resume, **options) as (process, pipe):
        lines = all_lines(pipe)
    return lines, process.exitcode


def stopped_by(
    number: signal.Signals, after: str, out: Path, *, resume: bool = False, **options: Any
) -> tuple[list[str], int | None]:
    """Sends a signal once the run has reported ``after``; returns what it reported then, and its exit status."""
    with running(out, resume, **options) as (process, pipe):
        while (line := pipe.recv()) != after:
            assert line
        assert process.pid is not None
        os.kill(process.pid, number)
        lines = all_lines(pipe)
    return lines, process.exitcode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("undisturbed") / "set.safetensors"
    lines, status = finish(out, resume=False)
    assert (lines[0], lines[-1], status) == ("fit 1", "match 12", 0)
    return out.read_bytes()


# Before the first checkpoint, on and after one, at the end of a phase, in the other phase; twice where two are named.
KILLS = [["fit 1"], ["fit 5"], ["fit 6"], ["fit 8"], ["match 4"], ["match 5"], ["match 11"], ["match 12"]]
KILLS += [["fit 7", "match 7"]]


@pytest.mark.parametrize("moments", KILLS, ids=[" then ".join(moments) for moments in KILLS])
def test_killed_and_resumed_is_the_same_file(moments: list[str], undisturbed: bytes, tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    for moment in moments:
        _, status = stopped_by(signal.SIGKILL, moment, out, resume=True)
        # It may have been over before the signal came.
        assert status == -signal.SIGKILL or (moment == "match 12" and status == 0)
    lines, status = finish(out, resume=True)
    assert status == 0, lines
    assert out.read_bytes() == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.safetensors", "set.safetensors.log.jsonl"]
    if moments == ["match 11"]:
        # It went on from the checkpoint of step 10 and did not start anew.
        assert lines == ["match 11", "match 12"]


def test_killed_between_the_trainings_of_a_network_is_the_same_file(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    options = {"method": "dc", "outer_loops": 8, "inner_loops": 2, "network_learning_rate": 0.1}
    assert finish(whole, resume=False, **options)[1] == 0
    _, status = stopped_by(signal.SIGKILL, "match 7", parts, **options)
    assert status == -signal.SIGKILL
    lines, status = finish(parts, resume=True, **options)
    assert (lines[0], status) == ("match 6", 0), lines
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "fit 2"), (signal.SIGINT, "match 6"), (signal.SIGTERM, "fit 7")]
)
def test_interrupted_finishes_its_step_and_says_how_to_go_on(
    number: signal.Signals, moment: str, undisturbed: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "set.safetensors"
    lines, status = stopped_by(number, moment, out)
    assert status == 130, lines
    phase, step = [moment, *lines[:-1]][-1].split()
    total = {"fit": 8, "match": 12}[phase]
    assert lines[-1] == (
        f"stopped after step {step} of {total} of {phase}, "
        f"saved in {out}.checkpoint: give the same options and --resume to go on"
    )
    more, status = finish(out, resume=True)
    assert status == 0, more
    assert more[0] == (f"{phase} {int(step) + 1}" if int(step) < total else "match 1")
    assert out.read_bytes() == undisturbed


def test_killed_between_writing_the_set_and_removing_the_checkpoint(undisturbed: bytes, tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    stopped_by(signal.SIGKILL, "match 11", out)
    out.write_bytes(undisturbed)
    (tmp_path / ".set.safetensors.checkpoint.x1.partial").write_bytes(b"half")
    lines, status = finish(out, resume=True)
    assert status == 0, lines
    assert out.read_bytes() == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.safetensors", "set.safetensors.log.jsonl"]
    # Once more: it is finished, and is left as it is.
    assert finish(out, resume=True) == ([], 0)
    assert out.read_bytes() == undisturbed


def test_without_resume_an_unfinished_run_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    stopped_by(signal.SIGKILL, "match 1", out)
    before = Path(f"{out}.checkpoint").read_bytes()
    message = f"{out}.checkpoint holds an unfinished run: add --resume to go on with it, or remove it to start anew"
    assert finish(out, resume=False) == ([message], 2)
    assert Path(f"{out}.checkpoint").read_bytes() == before
