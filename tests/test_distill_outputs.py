"""What a run does about the place it writes to: other runs and earlier files there, a result that cannot be kept."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distill_data import SMALL, blobs
from test_distill_checkpoint import StopError, checkpoint_of, stop_at
from test_distill_resume import finish, running

from gsdd_runtime import DistilledSet
from gsdd_runtime.distillation import distill
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import log_path
from gsdd_runtime.progress import Progress


def distilled(out: Path, **options: Any) -> Any:
    """A run of a few steps with a checkpoint after each."""
    few = {**SMALL, "iterations": 2, "fit_steps": 1, "checkpoint_interval": 1}
    return distill(blobs(), device="cpu", out=out, **{**few, **options})


def no_step(progress: Progress) -> None:
    pytest.fail(f"step {progress.step} of {progress.phase} was taken")


@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        ({"class_names": ("a", "a", "b")}, {}, "class names must differ"),
        ({"class_names": ("a", "b\ud800", "c")}, {}, "not valid Unicode"),
        ({"class_names": ("a", "b", "c" * 5_000_000)}, {}, "description of a distilled set is too long"),
        ({}, {"seed": 2**64}, "seed must be a whole number of 64 bits"),
        ({"std": (0.0,)}, {}, "std must be above 0"),
    ],
    ids=["names twice", "names not Unicode", "names too long", "seed", "std"],
)
@pytest.mark.parametrize("representation", ["gaussians", "pixels"])
def test_a_set_that_cannot_be_is_refused_before_the_first_step(
    data: dict[str, Any], options: dict[str, Any], told: str, representation: str, tmp_path: Path
) -> None:
    real = dataclasses.replace(blobs(), **data)
    out = tmp_path / "set.safetensors"
    small = {**SMALL, "gpc": 2, **options}
    with pytest.raises(InputError, match=told):
        distill(real, device="cpu", out=out, representation=representation, progress=no_step, **small)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [1, 0])
def test_a_run_asks_for_the_room_of_its_checkpoints_first(
    missing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 3 classes of 3 images of 18 Gaussians with 7 parameters: twice three float32, and the bfloat16 of the set.
    free = 3 * 3 * 18 * 7 * (2 * 3 * 4 + 2) - missing
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=10**12, free=free))
    with pytest.raises(InputError if missing else StopError) as caught:
        distilled(tmp_path / "set.safetensors", progress=no_step if missing else stop_at("fit", 1))
    assert not missing or "checkpoint takes 29.5 kB, its disk has 29.5 kB left" in str(caught.value)


def test_a_set_stays_unless_asked_for_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    distilled(out)
    before = out.read_bytes()
    with pytest.raises(
        InputError, match=r"set\.safetensors exists: add --overwrite to replace it, or choose another place"
    ):
        distilled(out, seed=1, progress=no_step)
    assert out.read_bytes() == before
    distilled(out, seed=1, overwrite=True)
    assert DistilledSet.load(out).seed == 1
    assert sorted(tmp_path.iterdir()) == [out, log_path(out)]


def test_a_file_of_another_kind_stays_too(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    out.write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match=r"set\.safetensors"):
            distilled(out, resume=resume, progress=no_step)
    assert out.read_text() == "mine"
    distilled(out, resume=True, overwrite=True)
    assert DistilledSet.load(out).seed == 0


def test_going_on_replaces_no_set_of_another_run(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    distilled(out)
    before = out.read_bytes()
    with pytest.raises(StopError):
        distilled(out, seed=1, overwrite=True, progress=stop_at("match", 2))
    with pytest.raises(InputError, match="exists: add --overwrite"):
        distilled(out, seed=1, resume=True, progress=no_step)
    assert out.read_bytes() == before
    distilled(out, seed=1, resume=True, overwrite=True)
    assert DistilledSet.load(out).seed == 1
    # The set of this very run is not replaced, but taken.
    distilled(out, seed=1, resume=True, overwrite=True, progress=no_step)


def test_an_unfinished_run_is_not_overwritten_either(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    with pytest.raises(StopError):
        distilled(out, progress=stop_at("match", 2))
    with pytest.raises(InputError, match="holds an unfinished run"):
        distilled(out, overwrite=True, progress=no_step)
    assert checkpoint_of(out).exists()


def test_a_second_run_with_the_same_output_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    with running(out, resume=False) as (first, pipe):
        assert pipe.recv() == "fit 1"
        assert first.pid is not None
        os.kill(first.pid, signal.SIGSTOP)
        for spelling in (out, tmp_path / "elsewhere" / "set.safetensors"):
            lines, status = finish(spelling, resume=True)
            assert status == 2
            assert lines == [
                f"{spelling} is being written by another run (process {first.pid}): wait for its end, "
                "or choose another place"
            ]
        os.kill(first.pid, signal.SIGKILL)
    lines, status = finish(out, resume=True)
    assert (lines[-1], status) == ("match 12", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere", "set.safetensors", "set.safetensors.log.jsonl",
    ]  # fmt: skip


def test_one_process_does_not_run_twice_either(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"

    def again(progress: Progress) -> None:
        with pytest.raises(InputError, match="is being written by another run"):
            distilled(out)
        raise StopError

    with pytest.raises(StopError):
        distilled(out, progress=again)
    distilled(out)


# A name with a dot, a longer name, signs that a pattern would take for more than themselves.
@pytest.mark.parametrize(("ours", "theirs"), [("run1", "run10"), ("run1", "run1.safetensors"), ("run[1]", "run1")])
def test_half_written_files_of_other_runs_stay(ours: str, theirs: str, tmp_path: Path) -> None:
    out = tmp_path / ours
    others = [tmp_path / f".{theirs}{end}.ab_12xyz.partial" for end in ("", ".checkpoint")]
    own = [tmp_path / f".{ours}{end}.ab_12xyz.partial" for end in ("", ".checkpoint")]
    for path in (*others, *own):
        path.write_bytes(b"half")
    distilled(out)
    assert sorted(tmp_path.iterdir()) == sorted([*others, out, log_path(out)])
