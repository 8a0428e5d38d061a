"""Synthetic images as leaves: whose gradient they get, in how many parts, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from distill_data import blobs, matching_of

from gsdd_runtime.distillation import images as images_module
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.distillation.representations import GaussianRepresentation, PixelRepresentation
from gsdd_runtime.splatting.gaussians import initial_gaussians

IMAGES, HEIGHT, WIDTH = 6, 12, 16


def representation() -> GaussianRepresentation:
    start = initial_gaussians(IMAGES, 5, 1, HEIGHT, WIDTH, torch.Generator().manual_seed(1))
    return GaussianRepresentation(start, HEIGHT, WIDTH)


def weights(count: int = IMAGES) -> torch.Tensor:
    return torch.randn(count, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))


def synthetic(of: GaussianRepresentation | PixelRepresentation) -> SyntheticImages:
    return SyntheticImages(of, blobs().preparation)


def direct(indices: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradients of the masters through one graph."""
    ours = representation()
    (blobs().preparation.apply(ours.render(indices)) * weights(len(indices))).sum().backward()
    return {name: part.grad for name, part in ours.parameters().items() if part.grad is not None}


def check(of: GaussianRepresentation, expected: dict[str, torch.Tensor], times: float = 1.0) -> None:
    for name, part in of.parameters().items():
        assert part.grad is not None
        torch.testing.assert_close(part.grad, times * expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chosen", [[0, 1, 2, 3, 4, 5], [4, 1], [3]])
def test_a_leaf_s_gradient_reaches_the_masters_of_its_images(chosen: list[int]) -> None:
    indices, ours = torch.tensor(chosen), representation()
    images = synthetic(ours)
    leaf = images.leaf(indices)
    assert leaf.is_leaf
    assert torch.equal(leaf.detach(), blobs().preparation.apply(ours.render(indices)).detach())
    (leaf * weights(len(chosen))).sum().backward()
    assert all(part.grad is None for part in ours.parameters().values())
    images.spread()
    check(ours, direct(indices))


@pytest.mark.parametrize("per_part", [1, 2, 4])
def test_parts_of_the_images_get_their_own_gradients(per_part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "PART_VALUES", per_part * HEIGHT * WIDTH)
    ours, indices = representation(), torch.tensor([5, 0, 3, 1, 2, 4])
    images = synthetic(ours)
    (images.leaf(indices) * weights()).sum().backward()
    images.spread()
    check(ours, direct(indices))


def test_losses_that_share_a_leaf_add_up_and_are_spread_once() -> None:
    ours, indices = representation(), torch.arange(IMAGES)
    images = synthetic(ours)
    leaf = images.leaf(indices)
    for share in (0.25, 0.75):
        (share * leaf * weights()).sum().backward()
    images.spread()
    images.spread()
    check(ours, direct(indices))


def test_two_leaves_of_an_image_add_up() -> None:
    ours, indices = representation(), torch.arange(IMAGES)
    images = synthetic(ours)
    for _ in range(2):
        (images.leaf(indices) * weights()).sum().backward()
    images.spread()
    check(ours, direct(indices), 2.0)


def test_gradients_are_let_go_where_they_take_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, indices = representation(), torch.arange(IMAGES)
    images = synthetic(ours)
    (images.leaf(indices) * weights()).sum().backward()
    images.relieve()
    assert ours.parameters()["color"].grad is None
    monkeypatch.setattr(images_module, "KEPT_VALUES", IMAGES * HEIGHT * WIDTH - 1)
    images.relieve()
    check(ours, direct(indices))


def test_a_graph_through_a_leaf_s_gradient_leaves_the_images_alone() -> None:
    """Unrolled methods differentiate inner losses by ``torch.autograd.grad``; only ``backward`` moves images."""
    ours = representation()
    images = synthetic(ours)
    leaf, weight = images.leaf(torch.arange(IMAGES)), torch.tensor(2.0, requires_grad=True)
    [inner] = torch.autograd.grad((weight * leaf.square()).sum(), weight, create_graph=True)
    images.spread()
    assert ours.parameters()["color"].grad is None
    inner.backward()
    images.spread()
    assert ours.parameters()["color"].grad is not None


@pytest.mark.parametrize("classes_per_pass", [1, 4])
def test_a_step_draws_each_image_twice_and_touches_no_others_masters(
    classes_per_pass: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many passes it has: what a step costs is linear in the classes."""
    drawn: list[tuple[int, bool]] = []
    honest = GaussianRepresentation.draw

    def draw(self: GaussianRepresentation, masters: Mapping[str, torch.Tensor], batch: Any = None) -> torch.Tensor:
        drawn.append((len(masters["color"]), torch.is_grad_enabled()))
        return honest(self, masters, batch)

    start = initial_gaussians(16, 5, 1, HEIGHT, WIDTH, torch.Generator().manual_seed(1))
    ours = GaussianRepresentation(start, HEIGHT, WIDTH)
    options = {"network": "convnet1-w8", "batch_real": 4, "gpc": 2, "classes_per_pass": classes_per_pass}
    matching, _ = matching_of(blobs(classes=8), ours, **options)
    monkeypatch.setattr(GaussianRepresentation, "draw", draw)
    monkeypatch.setattr(GaussianRepresentation, "masters", property(lambda self: pytest.fail("all masters are copied")))
    list(matching.updates(0))
    assert sorted(drawn) == sorted(
        [(2 * classes_per_pass, False), (2 * classes_per_pass, True)] * (8 // classes_per_pass)
    )
