"""Gradient matching's loss, against plain loops and against golden numbers of its authors' code."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime import networks
from gsdd_runtime.distillation.objectives.gradient_distance import gradient_distance

GOLDEN = json.loads((Path(__file__).parent / "data" / "reference-dc.json").read_text())


def wave(shape: tuple[int, ...], frequency: float, phase: float) -> Tensor:
    """The formula that the golden numbers' inputs were made by, float64."""
    return torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) * frequency + phase).reshape(shape)


def by_loops(synthetic: list[Tensor], real: list[Tensor]) -> float:
    total = 0.0
    for ours, theirs in zip(synthetic, real, strict=True):
        if ours.dim() == 1:
            continue
        for row in range(len(ours)):
            a, b = ours[row].flatten().tolist(), theirs[row].flatten().tolist()
            product = sum(x * y for x, y in zip(a, b, strict=True))
            length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
            total += 1 - product / (length + 1e-6)
    return total


def tensors() -> tuple[list[Tensor], list[Tensor]]:
    shapes = GOLDEN["tensors"]["shapes"]
    real = [wave(shape, 1.3, 0.2 + index) for index, shape in enumerate(shapes)]
    synthetic = [wave(shape, 0.7, 0.9 + index).requires_grad_() for index, shape in enumerate(shapes)]
    return synthetic, real


def test_the_value_is_that_of_plain_loops() -> None:
    synthetic, real = tensors()
    assert gradient_distance(synthetic, real).item() == pytest.approx(by_loops(synthetic, real), rel=1e-12)


def test_the_gradient_is_that_of_small_changes() -> None:
    synthetic, real = tensors()
    assert torch.autograd.gradcheck(lambda *ours: gradient_distance(ours, real), synthetic)


def test_value_and_gradient_are_those_of_the_authors() -> None:
    synthetic, real = tensors()
    distance = gradient_distance(synthetic, real)
    distance.backward()
    # Theirs is added up in float32.
    assert distance.item() == pytest.approx(GOLDEN["tensors"]["value"], rel=1e-6)
    for ours, theirs in zip(synthetic, GOLDEN["tensors"]["gradients"], strict=True):
        if theirs is None:
            assert ours.grad is None
        else:
            assert ours.grad is not None
            assert ours.grad.flatten()[::7].tolist() == pytest.approx(theirs, rel=1e-9)


def test_the_gradients_of_images_through_a_network_are_those_of_the_authors() -> None:
    case = GOLDEN["class"]
    network = networks.build(case["network"], case["channels"], case["classes"], tuple(case["size"]), seed=0).double()
    count = sum(part.numel() for part in network.parameters())
    weights = (0.3 * wave((count,), 1.7, 0.1)).split([part.numel() for part in network.parameters()])
    with torch.no_grad():
        for part, values in zip(network.parameters(), weights, strict=True):
            part.copy_(values.view(part.shape))

    def gradients(images: Tensor, graph: bool) -> tuple[Tensor, ...]:
        loss = functional.cross_entropy(network(images), torch.full((len(images),), case["class"]))
        return torch.autograd.grad(loss, list(network.parameters()), create_graph=graph)

    real = wave((case["real"], case["channels"], *case["size"]), 0.37, 0.2)
    synthetic = wave((case["synthetic"], case["channels"], *case["size"]), 0.53, 0.4).requires_grad_()
    distance = gradient_distance(gradients(synthetic, True), gradients(real, False))
    distance.backward()
    assert distance.item() == pytest.approx(case["value"], rel=1e-6)
    assert synthetic.grad is not None
    assert synthetic.grad.flatten(1).norm(dim=1).tolist() == pytest.approx(case["norms"], rel=1e-7)
    assert synthetic.grad.flatten()[::97].tolist() == pytest.approx(case["part"], rel=1e-6, abs=1e-9)


def test_a_row_without_a_gradient_counts_one_and_gives_no_infinity() -> None:
    synthetic = [torch.zeros(3, 4, requires_grad=True)]
    distance = gradient_distance(synthetic, [torch.ones(3, 4)])
    distance.backward()
    assert distance.item() == 3
    assert synthetic[0].grad is not None
    assert synthetic[0].grad.isfinite().all()
