"""The optimiser of images moves them as PyTorch's Adam does, and keeps no number that is slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from easy_data import easy_data
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime.distillation import engine
from gsdd_runtime.distillation.adam import LEAST, MOVES, image_adam

Made = Callable[[list[dict[str, Any]]], torch.optim.Adam]


def moved(make: Made, gradients: list[Tensor], start: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    value = start.clone().requires_grad_()
    optimizer = make([{"params": [value], "lr": 4e-3}])
    for gradient in gradients:
        value.grad = gradient.clone()
        optimizer.step()
    return value.detach(), dict(optimizer.state[value])


def gradients_that_end(count: int) -> list[Tensor]:
    """Of 1000 numbers: a third always zero, a third zero after ten moves, of sizes from 1e-12 to 1e3."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.pow(10.0, torch.rand(1000, generator=generator) * 15 - 12)
    gradients = [torch.randn(1000, generator=generator) * sizes for _ in range(count)]
    for place, gradient in enumerate(gradients):
        gradient[:333] = 0
        if place >= 10:
            gradient[333:666] = 0
    return gradients


def test_the_moves_are_those_of_adam_bit_for_bit() -> None:
    start = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    gradients = gradients_that_end(3 * MOVES)
    ours, theirs = (moved(make, gradients, start)[0] for make in (image_adam, torch.optim.Adam))
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, start)


def test_no_mean_is_denormal_or_a_zero_whose_root_is_slow() -> None:
    gradients, start = gradients_that_end(15 * MOVES), torch.zeros(1000)
    kept = moved(image_adam, gradients, start)[1]
    least = torch.finfo(torch.float32).tiny
    assert not ((kept["exp_avg"] != 0) & (kept["exp_avg"].abs() < least)).any()
    assert (kept["exp_avg"][:666] == 0).all()
    assert (kept["exp_avg_sq"] > LEAST / 2).all()
    left = moved(torch.optim.Adam, gradients, start)[1]
    assert ((left["exp_avg"] != 0) & (left["exp_avg"].abs() < least)).any()


def test_images_are_moved_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.optim.Adam] = []

    def kept(groups: list[dict[str, Any]]) -> torch.optim.Adam:
        made.append(image_adam(groups))
        return made[-1]

    monkeypatch.setattr(engine, "image_adam", kept)
    options = {"network": "convnet1-w4", "device": "cpu", "batch_real": 4, "gpc": 2}
    gsdd.distill(easy_data(), iterations=3, fit_steps=2, **options)
    # Of fitting and of matching; positions, factors, colours and opacities.
    assert [len(optimizer.state) for optimizer in made] == [4, 4]
    assert all((state["exp_avg_sq"] > 0).all() for optimizer in made for state in optimizer.state.values())
