"""Trajectory matching's loss against steps written out, against golden numbers of its authors' code, and its memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime import networks
from gsdd_runtime.distillation.objectives.trajectory_distance import StepLoss, Unrolling, trajectory_distance
from gsdd_runtime.training.augmentation import DsaDraw

GOLDEN = json.loads((Path(__file__).parent / "data" / "reference-tm.json").read_text())


def wave(shape: tuple[int, ...], frequency: float, phase: float) -> Tensor:
    """The formula that the golden numbers' inputs were made by, float64."""
    return torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) * frequency + phase).reshape(shape)


def network_loss(network: torch.nn.Module, change: Callable[[int, Tensor], Tensor] = lambda _, x: x) -> StepLoss:
    """The cross entropy of ``network`` with weights from a vector."""
    shapes = [(name, part.shape) for name, part in network.named_parameters()]

    def loss(step: int, weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        parts = weights.split([shape.numel() for _, shape in shapes])
        named = {name: part.view(shape) for (name, shape), part in zip(shapes, parts, strict=True)}
        return functional.cross_entropy(torch.func.functional_call(network, named, (change(step, images),)), labels)

    return loss


def network_and_weights() -> tuple[torch.nn.Module, Tensor, Tensor]:
    network = networks.build(GOLDEN["network"], GOLDEN["channels"], GOLDEN["classes"], tuple(GOLDEN["size"]), seed=0)
    count = sum(part.numel() for part in network.parameters())
    start = 0.3 * wave((count,), 1.7, 0.1)
    return network.double(), start, start + 0.02 * wave((count,), 2.3, 0.5)


def some_images(count: int) -> Tensor:
    return wave((count, GOLDEN["channels"], *GOLDEN["size"]), 0.37, 0.2).requires_grad_()


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['steps']} steps")
def test_value_and_gradients_are_those_of_the_authors(case: dict[str, Any]) -> None:
    network, start, target = network_and_weights()
    images = some_images(case["images"])
    labels = torch.arange(case["images"]) % GOLDEN["classes"]
    rate = torch.tensor(case["rate"], dtype=torch.float64, requires_grad=True)
    batches = [torch.tensor(batch) for batch in case["batches"]]
    loss = trajectory_distance(Unrolling(start, target, batches, network_loss(network)), images, labels, rate)
    loss.backward()
    assert images.grad is not None
    assert rate.grad is not None
    assert loss.item() == pytest.approx(case["loss"], rel=1e-10)
    assert rate.grad.item() == pytest.approx(case["rate_gradient"], rel=1e-9)
    norms = images.grad.flatten(1).norm(dim=1).tolist()
    assert norms == pytest.approx(case["image_gradient_norms"], rel=1e-8, abs=1e-12)
    assert images.grad.flatten()[::97].tolist() == pytest.approx(case["image_gradient_part"], rel=1e-7, abs=1e-11)


def plain(unrolling: Unrolling, images: Tensor, labels: Tensor, rate: Tensor) -> Tensor:
    """The same with the graph of all steps."""
    weights = unrolling.start.clone().requires_grad_()
    for step, batch in enumerate(unrolling.batches):
        loss = unrolling.step_loss(step, weights, images[batch], labels[batch])
        weights = weights - rate * torch.autograd.grad(loss, weights, create_graph=True)[0]
    moved = (unrolling.start - unrolling.target).square().sum()
    return (weights - unrolling.target).square().sum() / moved


@pytest.mark.parametrize("soft", [False, True])
def test_gradients_are_those_of_the_plain_graph(soft: bool) -> None:
    network, start, target = network_and_weights()
    kinds = ("color", "crop", "scale", "rotate", "cutout")

    def change(step: int, images: Tensor) -> Tensor:
        amounts = (wave((3, len(images)), 1.3, step) + 1) / 2.001
        return DsaDraw(kinds[step], amounts).apply(images)

    batches = [torch.tensor(batch) for batch in ([4, 1], [0, 5, 2], [3], [5, 1, 4], [2, 0])]
    unrolling = Unrolling(start, target, batches, network_loss(network, change))
    found = []
    for distance in (trajectory_distance, plain):
        images = some_images(6)
        hard = torch.arange(6) % 4
        labels = wave((6, 4), 0.9, 0.3).softmax(dim=1).requires_grad_() if soft else hard
        rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        loss = distance(unrolling, images, labels, rate)
        (3 * loss).backward()
        found.append([loss, images.grad, rate.grad, *([labels.grad] if soft else [])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)
    assert found[0][1].abs().sum() > 0


def linear_distance(
    start: np.ndarray, target: np.ndarray, images: np.ndarray, labels: np.ndarray, rate: float, batches: list[list[int]]
) -> float:
    """Steps of softmax regression, entry by entry."""
    weights = start.copy()
    classes, features = weights.shape
    for batch in batches:
        gradient = np.zeros_like(weights)
        for index in batch:
            scores = [sum(weights[k, f] * images[index, f] for f in range(features)) for k in range(classes)]
            total = sum(math.exp(score) for score in scores)
            for k in range(classes):
                for f in range(features):
                    error = sum(labels[index]) * math.exp(scores[k]) / total - labels[index, k]
                    gradient[k, f] += error * images[index, f] / len(batch)
        weights = weights - rate * gradient
    return float(((weights - target) ** 2).sum() / ((start - target) ** 2).sum())


def test_steps_are_sgd_and_gradients_are_differences() -> None:
    shape = (3, 2)
    start, target = wave(shape, 1.1, 0.4), wave(shape, 0.7, 0.9)
    images, labels = wave((4, 2), 2.1, 0.3).requires_grad_(), wave((4, 3), 1.9, 0.1).softmax(dim=1).requires_grad_()
    rate = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    batches = [[0, 2], [3], [1, 2, 0]]

    def step_loss(step: int, weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(images @ weights.view(shape).t(), labels)

    unrolling = Unrolling(start.flatten(), target.flatten(), [torch.tensor(batch) for batch in batches], step_loss)
    loss = trajectory_distance(unrolling, images, labels, rate)
    loss.backward()

    def distance(images: np.ndarray, labels: np.ndarray, rate: np.ndarray) -> float:
        return linear_distance(start.numpy(), target.numpy(), images, labels, float(rate), batches)

    inputs = [images.detach().numpy(), labels.detach().numpy(), rate.detach().numpy().copy()]
    assert loss.item() == pytest.approx(distance(*inputs), rel=1e-12)
    for place, leaf in enumerate((images, labels, rate)):
        assert leaf.grad is not None
        expected = np.zeros(inputs[place].shape)
        for index in np.ndindex(*inputs[place].shape):
            values = []
            for sign in (1, -1):
                moved = [part.copy() for part in inputs]
                moved[place][index] += sign * 1e-5
                values.append(distance(*moved))
            expected[index] = (values[0] - values[1]) / 2e-5
        np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=1e-6, atol=1e-9)


def test_a_rate_that_is_right_has_distance_0() -> None:
    """An expert that went exactly the steps that are unrolled."""
    network, start, _ = network_and_weights()
    images, labels, batches = some_images(4), torch.arange(4), [torch.tensor([0, 1]), torch.tensor([2, 3])]
    step_loss = network_loss(network)
    weights = start.clone()
    for step, batch in enumerate(batches):
        leaf = weights.detach().requires_grad_()
        weights = weights - 0.3 * torch.autograd.grad(step_loss(step, leaf, images[batch], labels[batch]), leaf)[0]
    for rate, least, most in ((0.3, 0.0, 1e-20), (0.0, 1.0, 1.0), (0.15, 1e-3, 0.9)):
        value = trajectory_distance(
            Unrolling(start, weights.detach(), batches, step_loss), images, labels,
            torch.tensor(rate, dtype=torch.float64),
        )  # fmt: skip
        assert least <= value.item() <= most


class Kept:
    """A tensor that a graph keeps, counted while it does."""

    now = peak = 0

    def __init__(self, tensor: Tensor) -> None:
        # Detached, or the graph would hold itself.
        self.tensor = tensor.detach()
        Kept.now += tensor.numel()
        Kept.peak = max(Kept.peak, Kept.now)

    def __del__(self) -> None:
        Kept.now -= self.tensor.numel()


@contextmanager
def counted() -> Iterator[None]:
    Kept.now = Kept.peak = 0
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        yield


def peak(distance: Callable[..., Tensor], steps: int, kept: int = 0) -> int:
    """Numbers that graphs keep at most at one time."""
    network, start, target = network_and_weights()
    images, labels = some_images(6), torch.arange(6) % 4
    rate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    unrolling = Unrolling(start, target, [torch.arange(6)] * steps, network_loss(network), kept)
    with counted():
        distance(unrolling, images, labels, rate).backward()
    return Kept.peak


def test_the_graph_of_one_step_is_kept_however_many_there_are() -> None:
    least = peak(trajectory_distance, 1)
    assert peak(trajectory_distance, 8) == least > 0
    assert peak(plain, 8) > 6 * peak(plain, 1)
    # As many more as are asked for.
    assert 2.5 * least < peak(trajectory_distance, 8, kept=3) < 4.5 * least


@pytest.mark.parametrize("soft", [False, True])
def test_kept_graphs_give_the_same_bits_and_make_no_step_twice(soft: bool) -> None:
    network, start, target = network_and_weights()
    batches = [torch.tensor(batch) for batch in ([4, 1], [0, 5, 2], [3], [5, 1, 4])]
    honest, calls, found = network_loss(network), [], []

    def step_loss(step: int, *others: Tensor) -> Tensor:
        calls.append(step)
        return honest(step, *others)

    for kept, expected in ((0, [0, 1, 2, 3, 3, 2, 1, 0]), (3, [0, 1, 2, 3, 0]), (4, [0, 1, 2, 3])):
        images, labels = some_images(6), torch.arange(6) % 4
        if soft:
            labels = wave((6, 4), 0.9, 0.3).softmax(dim=1).requires_grad_()
        rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        calls.clear()
        loss = trajectory_distance(Unrolling(start, target, batches, step_loss, kept), images, labels, rate)
        loss.backward()
        assert calls == expected
        found.append([loss.detach(), images.grad, rate.grad, *([labels.grad] if soft else [])])
    for other in found[1:]:
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(other, found[0], strict=True))
