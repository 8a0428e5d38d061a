"""Runs that several processes share: real ones, over gloo, and the same bytes as one process writes."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rank_job
import torch
from easy_data import easy_data, folder_of
from safetensors.torch import load_file

from gsdd_runtime import ranks
from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.journal import last_of, read_log
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet

# One server imports torch; every rank is forked from it.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["gsdd_runtime.distillation", "torch._dynamo"])
DISTILL = [
    "--network", "convnet1-w4", "--gpc", "2", "--batch-real", "4", "--fit-steps", "2", "--classes-per-pass", "1",
    "--device", "cpu",
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def in_processes(count: int, job: Callable[..., None], *arguments: Any) -> None:
    """Runs ``job`` as ``count`` ranks, all of which must end well."""
    port = free_port()
    processes = [
        FORKS.Process(target=rank_job.as_rank, args=(rank, count, port, job, *arguments)) for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
    assert [process.exitcode for process in processes] == [0] * count


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What one process made, and what three made, of whom one has two of four classes and two have one."""
    alone, shared = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("shared")
    rank_job.work(alone)
    in_processes(3, rank_job.work, shared)
    return alone, shared


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_three_processes_write_what_one_writes(folders: tuple[Path, Path]) -> None:
    alone, shared = folders
    assert names(alone) == names(shared)
    assert len(names(alone)) > 3 * len(rank_job.RUNS) + 2 * 4
    for name in names(alone):
        check_same(name, alone, shared)


def check_same(name: str, alone: Path, shared: Path) -> None:
    # Of experts of several processes, the record of the last digits is the same too.
    if not name.endswith(".jsonl") and not name.startswith(rank_job.SUMMED):
        assert (alone / name).read_bytes() == (shared / name).read_bytes(), name


def test_two_processes_hold_half_of_the_images_each(folders: tuple[Path, Path], tmp_path: Path) -> None:
    in_processes(2, rank_job.divided, tmp_path, folders[0])
    assert len(names(tmp_path)) > 3 * len(rank_job.DIVIDED)
    for name in names(tmp_path):
        check_same(name, folders[0], tmp_path)
    for name in rank_job.DIVIDED:
        assert read_log(tmp_path / f"{name}.safetensors.log.jsonl")[0]["images_held"] == 4


@pytest.mark.parametrize("name", rank_job.SUMMED)
def test_what_is_summed_up_over_processes_is_near(name: str, folders: tuple[Path, Path]) -> None:
    one, other = (DistilledSet.load(folder / f"{name}.safetensors") for folder in folders)
    assert one.gaussians is not None
    assert other.gaussians is not None
    # Sums in another order.
    assert (one.gaussians.float() - other.gaussians.float()).abs().max() < 0.01
    assert one.options == other.options
    if name == "tm":
        assert one.training["learning_rate"] == pytest.approx(other.training["learning_rate"], rel=1e-5)
    else:
        parts = [load_file(folder / f"{name}.safetensors.checkpoint.match-2") for folder in folders]
        learned = [name for name in parts[0] if name.startswith("learned/")]
        assert learned
        for name in learned:
            assert torch.allclose(parts[0][name], parts[1][name], atol=1e-4)


@pytest.mark.parametrize("name", rank_job.RUNS)
def test_the_log_tells_of_all_processes(name: str, folders: tuple[Path, Path]) -> None:
    mine, ours = (read_log(folder / f"{name}.safetensors.log.jsonl") for folder in folders)
    steps = [last_of(records, "step") for records in (mine, ours)]
    assert steps[0] is not None
    assert steps[1] is not None
    assert steps[1]["loss"] == pytest.approx(steps[0]["loss"], rel=1e-3)
    assert steps[1]["parts"].keys() == steps[0]["parts"].keys()
    assert "all_reduce_seconds" not in steps[0]
    assert steps[1]["all_reduce_seconds"] > 0
    assert [records[0]["processes"] for records in (mine, ours)] == [1, 3]
    # The first process has two of four classes, where each holds its own.
    held = [records[0]["images_held"] for records in (mine, ours)]
    assert held == [8, 4 if name in rank_job.DIVIDED else 8]
    judged = [[one["accuracy"] for one in records if one["record"] == "judged"] for records in (mine, ours)]
    assert judged[0] == judged[1]
    assert len(judged[0]) == (2 if name.startswith("judged") else 0)


def test_what_ends_one_of_two_processes_ends_both(folders: tuple[Path, Path], tmp_path: Path) -> None:
    in_processes(2, rank_job.ended, tmp_path)
    check_same("noise.safetensors", folders[0], tmp_path)


class Joined:
    """Ranks that need no others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rank: int, count: int) -> None:
        monkeypatch.setattr(ranks, "_joined", ranks.Ranks(rank, count))


def test_a_process_that_sees_other_files_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    together = ranks.Ranks(0, 3)
    monkeypatch.setattr(ranks.Ranks, "told", lambda self, value: [value, value, [False, 4]])
    with pytest.raises(InputError, match=r"rank 2 sees another state than rank 0 \(\[False, 4\], not \[True, 3\]\)"):
        together.check_same([True, 3], "state")
    monkeypatch.setattr(ranks.Ranks, "told", lambda self, value: [value] * 3)
    together.check_same([True, 3], "state")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "has 4 classes to share in a step, and there are 5 processes: start at most 4"),
        ({"method": "ncfm", "sampling_network": True}, "what is learned beside the images moves after each class"),
        ({"method": "dm", "update": "class", "coding": "entropy"}, "coding entropy moves after each class in turn"),
    ],
    ids=str,
)
def test_what_cannot_be_shared_is_refused(options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Joined(monkeypatch, 0, 5 if not options else 2)
    with pytest.raises(InputError, match=words):
        distill(rank_job.data(), **{**rank_job.SMALL, **options})


def test_other_commands_are_refused_by_one_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run(["info", "set.safetensors"]) == 2
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    assert run(["info", "set.safetensors"]) == 2
    assert "info runs in one process: start it without torchrun" in capsys.readouterr().err


def torchrun(count: int, *words: str) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*launcher, "-m", "gsdd_runtime", *words], env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def workers(launcher: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not tell of child processes")
def test_a_killed_process_ends_the_run_which_one_goes_on_with(tmp_path: Path) -> None:
    folder_of(easy_data(), tmp_path / "images")
    common = ["distill", "--dataset", f"imagefolder:{tmp_path / 'images'}", *DISTILL]
    whole, out = tmp_path / "whole.safetensors", tmp_path / "set.safetensors"
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    launched = torchrun(2, *common, "--iterations", "100000", "--checkpoint-interval", "1", "--out", str(out))
    try:
        while not checkpoint.exists():
            assert launched.poll() is None, launched.communicate()[1]
            time.sleep(0.05)
        os.kill(workers(launched.pid)[1], signal.SIGKILL)
        stdout, stderr = launched.communicate(timeout=60)
    finally:
        launched.kill()
    assert launched.returncode != 0
    assert stdout == ""
    # The survivor has no message of its own: torchrun tells which process was killed.
    assert re.search(r"exitcode *: -9", stderr)
    # What decides the bits of a step is not how many there were to be.
    left = Checkpoint.load(checkpoint)
    steps = left.step + 3
    replace(left, options={**left.options, "iterations": steps}).save(checkpoint)
    common += ["--iterations", str(steps)]
    assert run([*common, "--out", str(out), "--resume"]) == 0
    assert run([*common, "--out", str(whole)]) == 0
    made, expected = DistilledSet.load(out), DistilledSet.load(whole)
    assert made.gaussians is not None
    assert expected.gaussians is not None
    assert made.gaussians.equal(expected.gaussians)
