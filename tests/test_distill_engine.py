"""The engine with losses whose every step is known: rates, the penalty, the order of a step, the end of a phase.

Adam moves a parameter whose gradient stays the same by exactly the learning rate a step, so that a linear loss shows
the rates themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gsdd_runtime.distillation.engine import Phase, Told, run_phase
from gsdd_runtime.distillation.representations import (
    REPRESENTATIONS,
    GaussianRepresentation,
    PixelRepresentation,
    Representation,
)
from gsdd_runtime.progress import Progress

STEPS, RATE = 9, 1e-3
# Shares of the learning rate; docs/distilling.md tells how they were found.
SHARES = {
    "gaussians": {"position": 0.5, "cholesky": 3.0, "color": 0.5, "opacity": 0.5},
    "pixels": {"pixels": 1.0},
}


def made(name: str, boundary_weight: float = 0.0) -> Representation:
    if name == "pixels":
        return PixelRepresentation(torch.full((2, 1, 4, 5), 0.5))
    gaussians = torch.linspace(-0.4, 0.7, 2 * 3 * 7).view(2, 3, 7)
    return GaussianRepresentation(gaussians, 4, 5, boundary_weight=boundary_weight)


def linear(representation: Representation, slope: float = 1.0) -> Callable[[int], Iterator[Told]]:
    """``slope`` times the sum of all parameters, and its gradient."""

    def updates(step: int) -> Iterator[Told]:
        loss = sum(part.sum() for part in representation.parameters().values()) * slope
        loss.backward()
        yield Told(loss.detach())

    return updates


def values(representation: Representation) -> dict[str, Tensor]:
    return {name: part.detach().clone() for name, part in representation.parameters().items()}


def run(
    representation: Representation, updates: Callable[[int], Iterator[Told]], *, schedule: str = "constant",
    rate: float = RATE, steps: int = STEPS,
) -> tuple[list[dict[str, Tensor]], list[Progress]]:  # fmt: skip
    """The parameters before the first step and after each, and the reports."""
    track, reports = [values(representation)], []

    def report(progress: Progress) -> None:
        reports.append(progress)
        track.append(values(representation))

    run_phase(Phase("test", steps, rate, schedule, updates), representation, progress=report)
    return track, reports


# What the rate is multiplied by at the first, the middle and the last of nine steps.
FACTORS = {
    "constant": (1.0, 1.0, 1.0),
    "cosine": (1.0, 0.5 * (1 + math.cos(math.pi * 4 / 9)), 0.5 * (1 + math.cos(math.pi * 8 / 9))),
}


@pytest.mark.parametrize("schedule", FACTORS)
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_a_linear_loss_moves_each_kind_by_its_rate(name: str, schedule: str) -> None:
    representation = made(name)
    track, _ = run(representation, linear(representation), schedule=schedule)
    for step, factor in zip((0, 4, 8), FACTORS[schedule], strict=True):
        moved = {kind: track[step][kind] - track[step + 1][kind] for kind in track[0]}
        assert set(moved) == set(SHARES[name])
        for kind, distance in moved.items():
            expected = torch.full_like(distance, RATE * SHARES[name][kind] * factor)
            # float32 parameters of about 1 are spaced by 6e-8.
            torch.testing.assert_close(distance, expected, rtol=0, atol=1.5e-7)


def test_the_penalty_is_added_once_to_the_loss_and_to_the_gradient() -> None:
    representation = made("gaussians", boundary_weight=0.25)
    seen: list[Tensor] = []

    def updates(step: int) -> Iterator[Told]:
        loss = representation.parameters()["color"].sum()
        loss.backward()
        yield Told(loss.detach())

    def remember(optimizer: torch.optim.Optimizer, *_: object) -> None:
        seen.append(representation.parameters()["position"].grad.clone())

    handle = register_optimizer_step_pre_hook(remember)
    try:
        track, reports = run(representation, updates, steps=3)
    finally:
        handle.remove()
    for before, report, gradient in zip(track, reports, seen, strict=False):
        position = before["position"].double().requires_grad_()
        x, y = position.unbind(dim=-1)
        penalty = 0.25 * (-torch.log(1 - x * x) - torch.log(1 - y * y)).mean()
        assert report.loss == pytest.approx(before["color"].double().sum().item() + penalty.item(), rel=1e-5)
        torch.testing.assert_close(gradient.double(), torch.autograd.grad(penalty, position)[0], rtol=1e-5, atol=1e-8)
    assert len(seen) == len(reports) == 3


def test_centres_are_kept_inside_after_every_step() -> None:
    representation = made("gaussians")
    track, _ = run(representation, linear(representation, -1.0), rate=10.0, steps=3)
    for after in track[1:]:
        assert torch.equal(after["position"], torch.full_like(after["position"], 1 - 4e-3))
        assert after["color"].min() > 4


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_a_step_knows_its_number_and_starts_from_no_gradient(name: str) -> None:
    representation = made(name)
    numbers: list[int] = []

    def updates(step: int) -> Iterator[Told]:
        numbers.append(step)
        assert all(part.grad is None or not part.grad.any() for part in representation.parameters().values())
        yield from linear(representation)(step)

    track, reports = run(representation, updates, steps=4)
    assert numbers == [0, 1, 2, 3]
    assert [(report.phase, report.step, report.total) for report in reports] == [("test", n, 4) for n in (1, 2, 3, 4)]
    # The loss is that before the step, not after it.
    sums = [sum(part.double().sum().item() for part in at.values()) for at in track]
    assert [report.loss for report in reports] == pytest.approx(sums[:-1], rel=1e-5)
