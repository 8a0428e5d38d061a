"""Checkpoints: what is refused, with one line each, and what stays whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.checkpoint import METADATA_KEY, Checkpoint
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress


class StopError(Exception):
    """Ends a run from its progress reports, as a crash would."""


def stop_at(phase: str, step: int) -> Any:
    def report(progress: Progress) -> None:
        if (progress.phase, progress.step) == (phase, step):
            raise StopError

    return report


def distilled(out: Path, *, data: Any = None, **options: Any) -> Any:
    real = blobs() if data is None else data
    return distill(real, device="cpu", out=out, checkpoint_interval=5, **{**SMALL, **options})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run that ended in the middle of matching, with its checkpoint."""
    path = tmp_path / "set.safetensors"
    with pytest.raises(StopError):
        distilled(path, progress=stop_at("match", 6))
    assert not path.exists()
    return path


def checkpoint_of(out: Path) -> Path:
    return Path(f"{out}.checkpoint")


def test_it_is_a_safe_file_with_the_state_of_the_step(out: Path) -> None:
    state = Checkpoint.load(checkpoint_of(out))
    assert (state.phase, state.step) == ("match", 5)
    assert state.fingerprint == blobs().identity
    assert set(state.tensors) == {
        f"{kind}/{part}{key}"
        for part in ("position", "cholesky", "color", "opacity")
        for kind, keys in (("parameter", [""]), ("optimizer", ["/step", "/exp_avg", "/exp_avg_sq"]))
        for key in keys
    }
    assert state.tensors["optimizer/color/step"] == 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"iterations": 11}, "iterations 12, not 11"),
        ({"learning_rate": 0.5}, "learning_rate 0.001, not 0.5"),
        ({"representation": "pixels", "gpc": 2}, "not"),
        ({"network": "convnet1-w16"}, "network 'convnet1-w8', not 'convnet1-w16'"),
    ],
)
def test_other_options_are_refused_by_name(out: Path, options: dict[str, Any], told: str) -> None:
    before = checkpoint_of(out).read_bytes()
    with pytest.raises(InputError) as caught:
        distilled(out, resume=True, **options)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{checkpoint_of(out)} is of a run with ")
    assert checkpoint_of(out).read_bytes() == before


def test_other_data_are_refused(out: Path) -> None:
    with pytest.raises(InputError, match="is of a run on other real data"):
        distilled(out, resume=True, data=blobs(seed=9))


def test_the_same_data_in_another_order_or_normalised_otherwise_is_refused(out: Path) -> None:
    real = blobs()
    turned = RealData.of(
        real.name, (real.train_images.flip(0), real.train_labels.flip(0)), (real.test_images, real.test_labels),
        real.class_names,
    )  # fmt: skip
    for other in (turned, real.whitened(), replace(real, mean=(0.5,))):
        assert other.fingerprint == real.fingerprint
        assert other.has_fingerprint(real.fingerprint)
        assert not other.has_fingerprint(real.identity)
        with pytest.raises(InputError, match="in another order or normalised otherwise"):
            distilled(out, resume=True, data=other)
    distilled(out, resume=True, data=blobs())


def test_a_finished_set_of_other_options_is_not_taken_for_this_one(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    made = distilled(path)
    again = distilled(path, resume=True)
    assert torch.equal(again.decode(), made.decode())
    with pytest.raises(InputError, match=r"set\.safetensors is of a run with seed 0, not 3"):
        distilled(path, resume=True, seed=3)


def header_changed(path: Path, **changes: Any) -> None:
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
    save_file(load_file(path), path, metadata={METADATA_KEY: json.dumps({**header, **changes})})


def tensor_changed(path: Path, name: str, value: torch.Tensor) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({**load_file(path), name: value}, path, metadata=metadata)


DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), "is not a .safetensors file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged"),
    "no header": (lambda path: save_file(load_file(path), path), "not a checkpoint"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is not an ordinary file"),
    "version": (lambda path: header_changed(path, format_version=0), "the format version must be"),
    "step": (lambda path: header_changed(path, step=-1), "its description is damaged"),
    "fingerprint": (lambda path: header_changed(path, fingerprint=None), "its description is damaged"),
    "step above": (lambda path: header_changed(path, step=99), "does not hold the state of this run"),
    "options": (lambda path: header_changed(path, options=[1]), "its description is damaged"),
    "phase": (lambda path: header_changed(path, phase="train"), "is in phase 'train', which this run lacks"),
    "shape": (
        lambda path: tensor_changed(path, "parameter/color", torch.zeros(2, 2)),
        "does not hold the state of this run",
    ),
    "not finite": (
        lambda path: tensor_changed(path, "optimizer/color/step", torch.tensor(float("nan"))),
        "does not hold the state of this run",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_told_in_one_line(damage: str, out: Path) -> None:
    harm, message = DAMAGE[damage]
    harm(checkpoint_of(out))
    with pytest.raises(InputError) as caught:
        distilled(out, resume=True)
    assert message in str(caught.value)
    assert "remove it to start anew" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_checkpoint_of_a_newer_version_asks_for_an_upgrade(out: Path) -> None:
    header_changed(checkpoint_of(out), format_version=3)
    with pytest.raises(InputError, match=r"format version 3, this gsdd-rt reads up to 2: upgrade gsdd-rt"):
        distilled(out, resume=True)


def test_a_checkpoint_of_an_older_version_is_left_to_it(out: Path) -> None:
    header_changed(checkpoint_of(out), format_version=1)
    with pytest.raises(InputError, match=r"was written by an older gsdd-rt: go on with that one, or remove it"):
        distilled(out, resume=True)


def test_resume_starts_anew_where_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    distilled(path, resume=True)
    other = tmp_path / "other.safetensors"
    distilled(other)
    assert path.read_bytes() == other.read_bytes()


def test_an_earlier_set_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    distilled(path)
    before = path.read_bytes()
    with pytest.raises(StopError):
        distilled(path, seed=1, overwrite=True, progress=stop_at("match", 11))
    assert path.read_bytes() == before
    distilled(path, seed=1, overwrite=True, resume=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint_interval": 0}, "checkpoint_interval must be at least 1, got 0"),
        ({"resume": True}, "resume needs out"),
        ({"out": "nowhere/set.safetensors"}, "the folder nowhere does not exist"),
        ({"out": "."}, "is a folder: give the name of a file"),
    ],
)
def test_places_are_checked_before_the_work(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        distill(blobs(), device="cpu", progress=stop_at("fit", 1), **options, **SMALL)
