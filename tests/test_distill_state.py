"""What an objective learns and keeps: moved, kept within bounds, told of, written with the checkpoint and put back."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from torch import Tensor

from gsdd_runtime import DistilledSet, progress
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.checkpoint import Checkpoint, CheckpointWriter
from gsdd_runtime.distillation.engine import run_phase
from gsdd_runtime.distillation.matching import Matching
from gsdd_runtime.distillation.objectives import OBJECTIVES, Learned, Loss, Objective
from gsdd_runtime.distillation.problem import Problem
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.5)


class Learning(Objective):
    """Pulls the images towards a learned brightness, which goes after a sum that it keeps of its own."""

    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer] = SGD
    least: float | None = None

    def __init__(self, problem: Problem, options: Any) -> None:
        super().__init__(problem, options)
        self.rate = torch.tensor(0.5, requires_grad=True)
        self.soft = torch.full((9, 3), 1 / 3, requires_grad=True)
        self.sum = torch.zeros(2)
        self.told: list[tuple[str, int]] = []

    @classmethod
    def default_iterations(cls, options: Any) -> int:
        return 8

    def losses(self, step: int) -> Iterator[Loss]:
        self.told.append(("losses", step))
        leaf = self.problem.synthetic()
        pull = (leaf - self.rate - self.sum[0]).square().mean()
        yield Loss(pull, {"pull": pull, "rate": self.rate})
        yield Loss((self.soft[:, 0] - 1).square().mean() + leaf.mean() * 0, {"pull": 1.0})

    def after(self, step: int) -> None:
        self.told.append(("after", step))
        self.sum[0] += 0.01 * float(self.problem.synthetic_now().mean())
        self.sum[1] += 1

    def learned(self) -> dict[str, Learned]:
        return {
            "rate": Learned(self.rate, self.optimizer, self.least),
            "soft": Learned(self.soft, partial(torch.optim.Adam, lr=0.05), 0.0, 1.0),
        }

    def state(self) -> dict[str, Tensor]:
        return {"sum": self.sum}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.sum.copy_(state["sum"])

    def facts(self) -> dict[str, Any]:
        return {"learning_rate": float(self.rate.detach())}

    def labels(self) -> Tensor:
        return self.soft / self.soft.sum(dim=1, keepdim=True)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "learning", Learning)
    progress.say_once.cache_clear()


FEW = {**SMALL, "fit_steps": 2, "iterations": 8, "method": "learning", "batch_real": None}


def run(out: Path | None = None, **options: Any) -> DistilledSet:
    return distill(blobs(), device="cpu", out=out, checkpoint_interval=3, **{**FEW, **options})


def test_what_is_learned_moves_by_its_own_optimiser_and_is_in_the_set(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    made = run(out)
    assert made.training.keys() == {"learning_rate"}
    assert abs(made.training["learning_rate"] - 0.5) > 0.1
    read = DistilledSet.load(out)
    assert read.training == made.training
    assert read.labels.shape == (9, 3)
    assert (read.labels[:, 0] > 0.4).all()


@pytest.mark.parametrize(
    "optimizer",
    [SGD, partial(torch.optim.SGD, lr=0.1), partial(torch.optim.Adam, lr=0.1), partial(torch.optim.RMSprop, lr=0.01)],
    ids=["SGD with momentum", "SGD", "Adam", "RMSprop"],
)
def test_killed_and_resumed_is_the_same_whatever_the_optimiser(
    optimizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Learning, "optimizer", staticmethod(optimizer))
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    run(whole)

    def stop(report: Progress) -> None:
        if (report.phase, report.step) == ("match", 5):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        run(parts, progress=stop)
    kept = Checkpoint.load(Path(f"{parts}.checkpoint"))
    assert {"learned/rate", "learned/soft", "objective/sum", "optimizer/soft/exp_avg"} <= kept.tensors.keys()
    assert kept.tensors["objective/sum"][1] == 3
    run(parts, resume=True)
    assert parts.read_bytes() == whole.read_bytes()


def test_a_state_of_another_form_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"

    def stop(report: Progress) -> None:
        if (report.phase, report.step) == ("match", 5):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        run(out, progress=stop)
    path = Path(f"{out}.checkpoint")
    honest = Checkpoint.load(path)
    for name, value in (
        ("objective/sum", torch.zeros(3)),
        ("objective/sum", torch.zeros(2, dtype=torch.float64)),
        ("learned/soft", torch.full((9, 3), torch.nan)),
        ("objective/other", torch.zeros(2)),
    ):
        harmed = {**honest.tensors, name: value}
        Checkpoint(honest.phase, honest.step, honest.options, honest.fingerprint, harmed).save(path)
        with pytest.raises(InputError, match="does not hold the state of this run"):
            run(out, resume=True)


def test_a_bound_is_kept_and_said_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Learning, "least", 0.45)
    made = run()
    assert made.training["learning_rate"] == pytest.approx(0.45)
    assert capsys.readouterr().err.count("rate reached its bound 0.45 and is kept there") == 1


def test_the_parts_of_a_loss_are_told_added_up_over_the_step() -> None:
    reports: list[Progress] = []
    run(progress=reports.append, init="random", fit_steps=None, iterations=2)
    for report in reports:
        assert report.loss is not None
        assert report.parts.keys() == {"pull", "rate", "penalty"}
        # The second loss adds one.
        assert report.parts["pull"] > 1
    assert reports[0].parts["rate"] == 0.5


def matching(update: str) -> tuple[Learning, Matching]:
    from distill_data import problem_of

    problem, resolved = problem_of(blobs(), method="learning", gpc=2)
    objective = Learning(problem, resolved.method_options)
    objective.soft = torch.full((6, 3), 1 / 3, requires_grad=True)
    objective.update = update
    return objective, Matching(objective, problem.images, resolved)


@pytest.mark.parametrize(("update", "moves"), [("step", 1), ("loss", 2)])
def test_the_images_move_before_after_is_called(update: str, moves: int) -> None:
    objective, ours = matching(update)
    representation = objective.problem.images._representation
    seen: list[str] = []
    honest = representation.constrain

    def constrain() -> None:
        honest()
        seen.append("moved")
        objective.told.append(("moved", len(seen)))

    representation.constrain = constrain  # type: ignore[method-assign]
    run_phase(ours.phase(), representation)
    assert objective.told[: 2 + moves] == [
        ("losses", 0), *(("moved", number) for number in range(1, moves + 1)), ("after", 0),
    ]  # fmt: skip
    assert len(seen) == 8 * moves


def test_a_checkpoint_is_due_by_steps_and_by_time(tmp_path: Path) -> None:
    now = [0.0]
    writer = CheckpointWriter(tmp_path / "c", {}, "f", 10, 60.0, clock=lambda: now[0])
    assert [step for step in range(1, 31) if writer.due(step)] == [10, 20, 30]
    now[0] = 59.9
    assert not writer.due(31)
    now[0] = 60.0
    assert writer.due(31)
    writer.write("match", 31, {"parameter/x": torch.zeros(2)})
    assert not writer.due(32)
    now[0] = 120.0
    assert writer.due(32)


def test_writing_a_checkpoint_takes_no_second_copy_of_its_tensors(tmp_path: Path) -> None:
    tensors = {f"parameter/{name}": torch.ones(1 << 20) for name in "abcd"}
    tracemalloc.start()
    try:
        CheckpointWriter(tmp_path / "c", {}, "f", 1, 60.0).write("match", 1, tensors)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 16 MiB of tensors. Measured: 0.03 MiB; with copies, 16.
    assert peak < 1 << 20
