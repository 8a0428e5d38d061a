"""Going on with a run: what may be changed and what that means, and after a loss that was not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from test_distill_checkpoint import StopError, checkpoint_of, stop_at

from gsdd_runtime import DistilledSet, progress
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.engine import Told
from gsdd_runtime.distillation.matching import Matching
from gsdd_runtime.errors import GsddError, InputError


def distilled(out: Path, **options: Any) -> DistilledSet:
    return distill(blobs(), device="cpu", out=out, checkpoint_interval=5, **{**SMALL, **options})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run of twelve steps that ended after its checkpoint of step 5 of matching."""
    progress.say_once.cache_clear()
    path = tmp_path / "set.safetensors"
    with pytest.raises(StopError):
        distilled(path, progress=stop_at("match", 6))
    return path


def test_more_iterations_make_the_bits_of_a_run_that_had_them_from_the_start(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = distilled(out, resume=True, iterations=15)
    assert (
        "the run goes on with iterations 15 in place of 12: "
        "its bits will be those of a run that had iterations 15 from the start"
    ) in capsys.readouterr().err
    whole = distilled(tmp_path / "whole.safetensors", iterations=15)
    assert torch.equal(made.rows(), whole.rows())
    assert made.options["resumed"] == [{"phase": "match", "step": 5, "changed": {"iterations": [12, 15]}}]
    assert {**whole.options, "resumed": made.options["resumed"]} == made.options


def test_more_iterations_of_a_cosine_make_other_bits_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress.say_once.cache_clear()
    out = tmp_path / "set.safetensors"
    with pytest.raises(StopError):
        distilled(out, schedule="cosine", progress=stop_at("match", 6))
    distilled(out, schedule="cosine", resume=True, iterations=15)
    assert "its bits will be those of no run that was left alone" in capsys.readouterr().err


def test_other_passes_are_taken_with_a_line(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = distilled(out, resume=True, classes_per_pass=1)
    assert "the run goes on with classes_per_pass 1 in place of 3" in capsys.readouterr().err
    assert made.options["classes_per_pass"] == 1


def test_a_checkpoint_of_another_device_is_taken_with_a_line(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = Checkpoint.load(checkpoint_of(out))
    checkpoint.options["device"] = "cuda"
    checkpoint.save(checkpoint_of(out))
    made = distilled(out, resume=True)
    assert "the run goes on with device cpu in place of cuda" in capsys.readouterr().err
    assert made.options["resumed"][0]["changed"] == {"device": ["cuda", "cpu"]}


def test_changes_of_several_resumptions_are_all_in_the_record(out: Path) -> None:
    with pytest.raises(StopError):
        distilled(out, resume=True, iterations=14, progress=stop_at("match", 11))
    made = distilled(out, resume=True, iterations=16, learning_rate=5e-4)
    assert [(one["step"], one["changed"]) for one in made.options["resumed"]] == [
        (5, {"iterations": [12, 14]}),
        (10, {"iterations": [14, 16], "learning_rate": [1e-3, 5e-4]}),
    ]
    # And the finished set is known for that of this run.
    assert torch.equal(distilled(out, resume=True, iterations=16, learning_rate=5e-4).rows(), made.rows())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"iterations": 11}, "iterations 12, not 11"),
        ({"learning_rate": 2e-3}, "learning_rate 0.001, not 0.002"),
        ({"batch_real": 7}, "batch_real 8, not 7"),
        ({"update": "class"}, "update 'step', not 'class'"),
        ({"method": "dc"}, "not"),
        ({"boundary_weight": 0.2}, "boundary_weight 0.1, not 0.2"),
        ({"init": "first"}, "init 'real', not 'first'"),
    ],
)
def test_what_decides_the_result_is_refused_by_name(changed: dict[str, Any], told: str, out: Path) -> None:
    with pytest.raises(InputError) as caught:
        distilled(out, resume=True, **changed)
    assert told in str(caught.value)


def test_after_a_loss_that_is_not_finite_a_lower_rate_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress.say_once.cache_clear()
    out = tmp_path / "set.safetensors"
    honest = Matching.updates

    def broken(self: Matching, step: int) -> Iterator[Told]:
        for told in honest(self, step):
            yield Told(told.loss * math.inf) if step == 8 else told

    with monkeypatch.context() as patch:
        patch.setattr(Matching, "updates", broken)
        with pytest.raises(GsddError) as caught:
            distilled(out)
    assert str(caught.value) == (
        "the loss or its gradient is not finite at step 9 of 12 of match "
        f"(the last checkpoint is {checkpoint_of(out)}): go on from there with --resume and a learning rate below "
        "0.001, or start anew"
    )
    made = distilled(out, resume=True, learning_rate=1e-4)
    assert "goes on with learning_rate 0.0001 in place of 0.001" in capsys.readouterr().err
    assert made.options["learning_rate"] == 1e-4
    assert made.options["resumed"][0]["step"] == 5


def test_without_a_checkpoint_it_can_only_start_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Matching, "updates", lambda self, step: iter([Told(torch.tensor(math.nan))]))
    with pytest.raises(GsddError, match="at step 1 of 12 of match: start anew with a learning rate below"):
        distilled(tmp_path / "set.safetensors", init="random", fit_steps=None)


def test_a_checkpoint_of_an_older_gsdd_rt_is_told(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = checkpoint_of(out)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["gsdd_checkpoint"])
    save_file(load_file(path), path, metadata={"gsdd_checkpoint": json.dumps({**header, "format_version": 1})})
    with pytest.raises(InputError, match="was written by an older gsdd-rt: go on with that one, or remove it"):
        distilled(out, resume=True)
