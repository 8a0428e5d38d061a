"""Rounding Gaussians: what changes no image changes none, and what does costs what the steps say."""

from __future__ import annotations

import math

import pytest
import torch
from awkward import ordinary
from torch import Tensor

from gsdd_runtime import InputError, reference
from gsdd_runtime.sets.coding.steps import Steps, canonical, dequantize, estimated_bits, levels, quantize, stored
from gsdd_runtime.sets.compression import SHARES

FINE = Steps(2**-14, 2**-14, 2**-14, 2**-14)


def awkward_gaussians() -> Tensor:
    gaussians = ordinary(3, 40, 3, 24, 5).double()
    gaussians[0, :10, 2] -= 6  # a negative diagonal
    gaussians[0, 5:15, 4] -= 6
    gaussians[1, :10, -1] = torch.linspace(-0.5, 0.9, 10).double()
    gaussians[1, 10:20, -1] = torch.linspace(1.1, 9, 10).double()
    gaussians[2, :10, 2:5] = -0.5  # a point
    gaussians[2, 10:20, 5:8] *= -4
    gaussians[2, 20:25, :2] = torch.tensor([-1.3, 1.2]).double()
    return gaussians


def drawn(gaussians: Tensor) -> Tensor:
    return reference.splat(gaussians.double(), 24, 24)


def test_the_canonical_form_draws_the_same_images() -> None:
    gaussians = awkward_gaussians()
    found = canonical(gaussians)
    assert (found[..., (2, 4)] >= -0.5).all()
    assert ((found[..., -1] >= 1) | (found[..., -1] == 0)).all()
    # Worst measured: 8.1e-3 of colours up to 4: the threshold cuts less off a Gaussian whose opacity is lifted to 1.
    assert (drawn(found) - drawn(gaussians)).abs().max() < 1.2e-2


def test_the_canonical_form_passes_gradients() -> None:
    gaussians = awkward_gaussians().requires_grad_()
    weights = torch.randn(3, 3, 24, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (exact,) = torch.autograd.grad((drawn(gaussians) * weights).sum(), gaussians)
    (found,) = torch.autograd.grad((drawn(canonical(gaussians)) * weights).sum(), gaussians)
    inside = (gaussians[..., -1] > 0.2).unsqueeze(-1).expand_as(exact)
    assert (found - exact)[inside].norm() < 0.02 * exact[inside].norm()


def test_fine_steps_give_the_images_back() -> None:
    gaussians = awkward_gaussians()
    found = dequantize(quantize(gaussians, 24, 24, FINE), 24, 24, FINE)
    # Worst measured: 8.1e-3, the canonical form's.
    assert (drawn(found) - drawn(gaussians)).abs().max() < 1.2e-2


@pytest.mark.parametrize("scale", [0.05, 0.2, 0.8])
def test_rounding_what_is_rounded_changes_nothing(scale: float) -> None:
    steps = SHARES.scaled(scale)
    once = dequantize(quantize(awkward_gaussians(), 24, 24, steps), 24, 24, steps)
    kept = once[..., -1] > 0
    again = quantize(once, 24, 24, steps)
    first = quantize(awkward_gaussians(), 24, 24, steps)
    same = kept & (again.amplitude == first.amplitude)
    assert same.double().mean() > 0.6
    for name in ("factor", "opacity", "color", "position"):
        assert torch.equal(getattr(again, name)[same], getattr(first, name)[same]), name


def test_steps_follow_what_a_gaussian_is_worth() -> None:
    # One strong and narrow, one faint and wide.
    gaussians = torch.tensor([[[0.1, 0.1, 0.5, 0.0, 0.5, 2.0, 1.0], [0.1, 0.1, 7.5, 0.0, 7.5, 0.05, 1.0]]])
    found = quantize(gaussians, 28, 28, SHARES.scaled(0.25))
    strong, faint = found.position[0, :, 0].tolist()
    assert strong > 8 * faint
    assert found.amplitude[0].tolist() == [1, -5]


def test_levels_are_the_exponents_that_the_file_s_rules_name() -> None:
    gaussians = awkward_gaussians()
    found = quantize(gaussians, 24, 24, FINE)
    l11, l21, l22 = (canonical(gaussians)[..., 2 + k] + (0.5, 0.0, 0.5)[k] for k in range(3))
    at = levels(found.amplitude, l11, l21, l22)
    seen = set()
    for index in torch.cartesian_prod(torch.arange(3), torch.arange(40)).tolist():
        place = tuple(index)
        a, b, c, e = (float(part[place]) for part in (l11, l21, l22, found.amplitude))
        xx, xy, yy = a * a + 1 / 12, a * b, b * b + c * c + 1 / 12
        area = math.sqrt(xx * yy - xy * xy)
        expected = [level(area), level(4**e * area), level(4**e * yy / area), level(4**e * xx / area)]
        assert [int(part[place]) for part in (at.color, at.opacity, *at.position)] == expected
        seen.update(expected)
    assert len(seen) > 5


def level(worth: float) -> int:
    return max(-24, min(24, -(math.frexp(worth)[1] // 2)))


def test_levels_of_what_no_number_holds_are_the_same_everywhere() -> None:
    huge = torch.tensor([2.0**40, 2.0**600, float("inf")], dtype=torch.float64)
    # xx * yy - xy^2 is 0 by cancellation, then not a number, twice: an exponent field of 0, and of all ones.
    at = levels(torch.zeros(3, dtype=torch.int64), huge, huge, torch.zeros(3, dtype=torch.float64))
    assert at.color.tolist() == [24, -24, -24]
    assert [level.tolist() for level in at.position] == [[-24, -24, -24]] * 2


def test_what_is_stored_is_rounded_twice() -> None:
    rounded = quantize(awkward_gaussians(), 24, 24, SHARES.scaled(0.01))
    exact = dequantize(rounded, 24, 24, SHARES.scaled(0.01))
    assert torch.equal(stored(rounded, 24, 24, SHARES.scaled(0.01)), exact.float().bfloat16())


def test_halving_all_steps_gains_about_six_decibels() -> None:
    gaussians = ordinary(8, 40, 3, 24, 6).double()
    errors = []
    for scale in (0.2, 0.1):
        steps = SHARES.scaled(scale)
        found = dequantize(quantize(gaussians, 24, 24, steps), 24, 24, steps)
        errors.append((drawn(found) - drawn(gaussians)).square().mean())
    assert 3.0 < errors[0] / errors[1] < 5.5


def test_a_gaussian_without_color_or_opacity_is_dropped() -> None:
    gaussians = torch.zeros(1, 3, 7)
    gaussians[..., -1] = 1
    gaussians[0, 1, 5] = 0.5
    gaussians[0, 2, 5] = 0.5
    gaussians[0, 2, -1] = 0.003
    found = quantize(gaussians, 8, 8, SHARES.scaled(0.25))
    assert (found.color != 0).any(dim=-1).tolist() == [[False, True, False]]


@pytest.mark.parametrize("values", [(0.0, 1, 1, 1), (1, 257, 1, 1), (1, 1, float("nan"), 1), (1, 1, 1, True)])
def test_steps_out_of_range_are_refused(values: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="the step of"):
        Steps(*values)


def test_estimated_bits_follow_the_steps_and_the_color() -> None:
    gaussians = ordinary(4, 30, 3, 24, 7).requires_grad_()
    coarse = estimated_bits(gaussians, 24, 24, SHARES.scaled(0.4))
    fine = estimated_bits(gaussians, 24, 24, SHARES.scaled(0.1))
    assert (fine > coarse).all()
    (grad,) = torch.autograd.grad(coarse.sum(), gaussians)
    assert grad.isfinite().all()
    with torch.no_grad():
        fainter = gaussians.clone()
        fainter[..., 5:8] *= 0.5
        assert (estimated_bits(fainter, 24, 24, SHARES) < estimated_bits(gaussians, 24, 24, SHARES)).all()
