"""NCFM's loss against sums written out, against golden numbers of its authors' code, and where it has corners."""

from __future__ import annotations

import cmath
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gsdd_runtime.distillation.objectives.characteristic import (
    characteristic_distance,
    characteristic_function,
    mean_characteristic_function,
    unit_features,
)
from gsdd_runtime.distillation.objectives.ncfm import MATCHING_SCALE
from gsdd_runtime.distillation.objectives.sampling_network import SamplingNetwork

GOLDEN = json.loads((Path(__file__).parent / "data" / "reference-ncfm.json").read_text())


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def matching(real: Tensor, synthetic: Tensor, frequencies: Tensor, **weights: float) -> Tensor:
    real, synthetic = unit_features(real), unit_features(synthetic)
    return MATCHING_SCALE * characteristic_distance(
        characteristic_function(real, frequencies), characteristic_function(synthetic, frequencies), **weights
    )


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{len(case['synthetic'])} images")
def test_value_and_gradient_are_those_of_the_authors(case: dict[str, object]) -> None:
    synthetic = tensor(case["synthetic"]).requires_grad_()
    frequencies = tensor(case["frequencies"]).requires_grad_()
    weights = {name: float(str(case[name])) for name in ("amplitude_weight", "phase_weight")}
    loss = matching(tensor(case["real"]), synthetic, frequencies, **weights)
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], rel=1e-9)
    # The numbers are kept with 12 digits.
    torch.testing.assert_close(synthetic.grad, tensor(case["synthetic_gradient"]), rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(frequencies.grad, tensor(case["frequencies_gradient"]), rtol=1e-8, atol=1e-9)


def test_sampling_network_is_that_of_the_authors() -> None:
    golden = GOLDEN["sampling"]
    network = SamplingNetwork(3).double()
    network.load_state_dict({
        f"{kind}.{layer}.{part}": tensor(values)
        for name, values in golden["weights"].items()
        for layer, kind, part in [name.split(".")]
    })  # fmt: skip
    frequencies = network(tensor(golden["noise"]))
    torch.testing.assert_close(frequencies, tensor(golden["frequencies"]), rtol=1e-9, atol=1e-10)
    loss = matching(tensor(golden["real"]), tensor(golden["synthetic"]), frequencies)
    assert loss.item() == pytest.approx(golden["loss"], rel=1e-9)
    (gradient,) = torch.autograd.grad(loss, [network.get_parameter("linear.0.weight")])
    # Batch norm of 4 rows takes much away: what is left of a gradient has fewer digits.
    torch.testing.assert_close(gradient, tensor(golden["first_weight_gradient"]), rtol=1e-6, atol=1e-8)


def written_out(real: Tensor, synthetic: Tensor, frequencies: Tensor) -> float:
    """With equal weights of a half the loss is the mean of |a - b| / sqrt(2): the identity, and so another formula."""

    def function(rows: list[list[float]], at: list[float]) -> complex:
        return sum(cmath.exp(1j * math.fsum(x * t for x, t in zip(row, at, strict=True))) for row in rows) / len(rows)

    pairs = [(function(real.tolist(), t), function(synthetic.tolist(), t)) for t in frequencies.tolist()]
    return math.fsum(abs(a - b) for a, b in pairs) / len(pairs) / math.sqrt(2)


def test_with_equal_weights_it_is_the_distance_in_the_complex_plane() -> None:
    generator = torch.Generator().manual_seed(0)
    real, synthetic, frequencies = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (6, 3, 5))
    synthetic.requires_grad_()

    def ours(rows: Tensor) -> Tensor:
        return characteristic_distance(
            characteristic_function(real, frequencies), characteristic_function(rows, frequencies)
        )

    loss = ours(synthetic)
    assert loss.item() == pytest.approx(written_out(real, synthetic, frequencies), rel=1e-9)
    (gradient,) = torch.autograd.grad(loss, [synthetic])
    step = 1e-6
    for place in ((0, 0), (2, 3)):
        ahead, behind = synthetic.detach().clone(), synthetic.detach().clone()
        ahead[place] += step
        behind[place] -= step
        slope = (written_out(real, ahead, frequencies) - written_out(real, behind, frequencies)) / (2 * step)
        assert gradient[place].item() == pytest.approx(slope, rel=1e-5)


def test_parts_of_unequal_size_count_by_their_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    samples, frequencies = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (7, 4))
    parts = mean_characteristic_function(samples.split(3), frequencies)
    torch.testing.assert_close(parts, characteristic_function(samples, frequencies))


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_equal_features_have_a_finite_gradient(weights: tuple[float, float]) -> None:
    features = torch.ones(1, 3, requires_grad=True)
    frequencies = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    loss = characteristic_distance(
        characteristic_function(features.detach(), frequencies), characteristic_function(features, frequencies),
        amplitude_weight=weights[0], phase_weight=weights[1],
    )  # fmt: skip
    loss.backward()
    assert loss.item() < 2e-6
    assert features.grad is not None
    assert features.grad.isfinite().all()
