"""What every objective owes a run: the same bytes when it was killed and resumed, and for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from teacher_data import teacher_of

from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.objectives import OBJECTIVES
from gsdd_runtime.experts import make_experts
from gsdd_runtime.progress import Progress

# Stands for the folder of experts.
EXPERTS = "{experts}"
# Stands for the file of a trained network with batch norms.
TEACHER = "{teacher}"
# Options with which a run of ten steps takes a second. Steps 3, 6 and 9 end in the middle of something.
RUNS: dict[str, dict[str, Any]] = {
    "dm": {"method": "dm"},
    "dm by class": {"method": "dm", "update": "class"},
    "dc": {"method": "dc", "outer_loops": 4, "inner_loops": 2, "network_learning_rate": 0.1, "batch_train": 5},
    "tm": {
        "method": "tm", "experts": EXPERTS, "syn_steps": 4, "batch_syn": 5, "expert_epochs": 1, "max_start_epoch": 2,
        "lr_lr": 1e-3, "batch_real": None,
    },
    "ncfm": {"method": "ncfm", "experts": EXPERTS, "frequencies": 16},
    "ncfm that learns its frequencies": {"method": "ncfm", "sampling_network": True, "update": "step"},
    "dance": {"method": "dance", "experts": EXPERTS},
    "squeeze": {
        "method": "squeeze", "teacher": TEACHER, "network": f"{SMALL['network']}-batch", "batch_syn": 4,
        "batch_real": None,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two experts of the network of the runs, on their data, and a teacher beside them."""
    folder = tmp_path_factory.mktemp("objectives") / "experts"
    make_experts(blobs(), folder, network=SMALL["network"], count=2, epochs=3, batch_size=8, device="cpu")
    teacher_of(folder.with_name("teacher.safetensors"), blobs(), f"{SMALL['network']}-batch")
    return str(folder)


def settings_of(name: str, experts: str) -> dict[str, Any]:
    settings = {**SMALL, "fit_steps": 2, **RUNS[name]}
    places = {EXPERTS: experts, TEACHER: str(Path(experts).with_name("teacher.safetensors"))}
    return {option: places.get(value, value) for option, value in settings.items()}


def run(out: Path, name: str, experts: str, **options: Any) -> None:
    settings = {**settings_of(name, experts), "iterations": 10, "checkpoint_interval": 3, **options}
    distill(blobs(), device="cpu", out=out, **settings)


def test_there_is_a_run_of_every_objective() -> None:
    assert {options["method"] for options in RUNS.values()} == set(OBJECTIVES)


@pytest.mark.parametrize("name", RUNS)
def test_killed_and_resumed_is_the_same_file(name: str, experts: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    run(whole, name, experts)
    # After steps 3, 6 and 9, and in the step behind.
    for moment in (4, 7, 10):

        def stop(progress: Progress, last: int = moment) -> None:
            if (progress.phase, progress.step) == ("match", last):
                raise ConnectionError

        with pytest.raises(ConnectionError):
            run(parts, name, experts, resume=True, progress=stop)
        kept = Checkpoint.load(Path(f"{parts}.checkpoint"))
        assert (kept.phase, kept.step) == ("match", moment - 1)
        torch.rand(7)
    run(parts, name, experts, resume=True)
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", RUNS)
def test_the_images_move_and_the_seed_decides_where_to(name: str, experts: str) -> None:
    sets = []
    for seed, iterations in ((0, 1), (0, 6), (1, 6)):
        settings = {**settings_of(name, experts), "iterations": iterations, "learning_rate": 1e-2}
        sets.append(distill(blobs(), device="cpu", init="first", seed=seed, **settings).decode())
    first, moved, other = sets
    assert ((moved - first).flatten(1).abs().amax(dim=1) > 1e-3).all()
    assert not torch.equal(moved, other)
