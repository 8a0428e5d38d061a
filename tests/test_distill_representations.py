"""The representations: what every one of them owes the engine, and the rules of training Gaussians."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gsdd_runtime import reference
from gsdd_runtime.distillation.representations import (
    REPRESENTATIONS,
    GaussianRepresentation,
    PixelRepresentation,
    Representation,
)
from gsdd_runtime.distillation.representations.coded_pixel import CodedPixelRepresentation
from gsdd_runtime.distillation.representations.rounding import round_to_bfloat16
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.gaussians import BOUNDARY_MARGIN, initial_gaussians

HEIGHT, WIDTH = 12, 16


def gaussians(images: int = 5, count: int = 6, channels: int = 3) -> Tensor:
    return initial_gaussians(images, count, channels, HEIGHT, WIDTH, torch.Generator().manual_seed(1))


def made(name: str) -> Representation:
    if name == "gaussians":
        return GaussianRepresentation(gaussians(), HEIGHT, WIDTH)
    return PixelRepresentation(torch.rand(5, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2)))


@pytest.fixture(params=sorted(REPRESENTATIONS))
def representation(request: pytest.FixtureRequest) -> Representation:
    return made(request.param)


def test_renders_by_index(representation: Representation) -> None:
    assert len(representation) == 5
    images = representation.render()
    assert images.shape == (5, 3, HEIGHT, WIDTH)
    assert images.dtype == torch.float32
    chosen = torch.tensor([4, 0, 4])
    assert torch.equal(representation.render(chosen), images[chosen])


def test_an_image_s_gradient_reaches_its_own_masters_alone(representation: Representation) -> None:
    representation.render(torch.tensor([1, 3])).square().sum().backward()
    for name, part in representation.parameters().items():
        assert part.is_leaf
        assert part.dtype == torch.float32
        assert part.grad is not None
        touched = part.grad.flatten(1).abs().sum(dim=1) > 0
        assert touched.tolist() == [False, True, False, True, False], name


def test_the_optimiser_gets_every_master_once(representation: Representation) -> None:
    groups = representation.parameter_groups(0.25)
    offered = [id(part) for group in groups for part in group["params"]]
    assert sorted(offered) == sorted(id(part) for part in representation.parameters().values())
    assert all(group["lr"] > 0 for group in groups)


def test_what_is_rendered_is_what_is_stored(representation: Representation) -> None:
    labels = torch.tensor([0, 0, 1, 1, 1])
    distilled = representation.to_set(labels, ipc=2, gpc=3)
    # Measured: 0, as both render the same bfloat16 numbers.
    assert torch.equal(distilled.decode(), representation.render().detach())
    assert torch.equal(distilled.hard_labels, labels)
    assert (distilled.ipc, distilled.gpc) == (2, 3)
    stored = distilled.gaussians if distilled.pixels is None else distilled.pixels
    assert stored is not None
    assert stored.dtype == torch.bfloat16
    assert representation.nbytes == stored.numel() * 2


@pytest.mark.parametrize("coded", [False, True])
def test_half_size_pixels_are_rendered_as_the_set_decodes_them(coded: bool) -> None:
    pixels = torch.rand(5, 3, HEIGHT // 2, WIDTH // 2, generator=torch.Generator().manual_seed(2))
    ours = CodedPixelRepresentation(pixels, bits=3, downscale=2) if coded else PixelRepresentation(pixels, downscale=2)
    images = ours.render()
    assert images.shape == (5, 3, HEIGHT, WIDTH)
    assert len(images.unique()) > 8
    kept = ours.to_set(torch.arange(5))
    assert kept.rows().shape == pixels.shape
    assert torch.equal(kept.decode(), images.detach())
    assert torch.equal(ours.render(torch.tensor([3, 1])), images[[3, 1]])


def test_the_gradient_of_half_size_pixels_is_that_of_scaling() -> None:
    ours = PixelRepresentation(torch.rand(5, 3, HEIGHT // 2, WIDTH // 2), downscale=2)
    weights = torch.randn(5, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
    (ours.render() * weights).sum().backward()
    exact = ours.parameters()["pixels"].detach().double().requires_grad_()
    scaled = torch.nn.functional.interpolate(exact, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    (scaled * weights).sum().backward()
    # Measured: 2e-7.
    torch.testing.assert_close(ours.parameters()["pixels"].grad, exact.grad.float(), atol=2e-6, rtol=0)


def test_masters_are_copies(representation: Representation) -> None:
    start = gaussians()
    kept = start.clone()
    ours = GaussianRepresentation(start, HEIGHT, WIDTH)
    with torch.no_grad():
        for part in ours.parameters().values():
            part.add_(1)
    assert torch.equal(start, kept)


def test_rounding_passes_the_gradient_straight_through() -> None:
    masters = torch.tensor([1.001, -3.14159, 1e-3], requires_grad=True)
    rounded = round_to_bfloat16(masters)
    assert torch.equal(rounded.detach(), masters.detach().bfloat16().float())
    assert not torch.equal(rounded.detach(), masters.detach())
    weights = torch.tensor([1.2345678, 1e-9, -7.0000001])
    (rounded * weights).sum().backward()
    # A cast alone would hand back the gradient's bfloat16 rounding.
    assert masters.grad is not None
    assert torch.equal(masters.grad, weights)


def test_gradient_is_the_reference_s_at_the_rounded_parameters() -> None:
    ours = GaussianRepresentation(gaussians(), HEIGHT, WIDTH)
    weights = torch.randn(5, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
    (ours.render() * weights).sum().backward()
    exact = ours.masters.detach().bfloat16().double().requires_grad_()
    (reference.splat(exact, HEIGHT, WIDTH) * weights.double()).sum().backward()
    grad = torch.cat([part.grad for part in ours.parameters().values() if part.grad is not None], dim=-1)
    assert exact.grad is not None
    # Measured: 1.3e-5 (the native op in float32 against float64).
    assert (grad - exact.grad).norm() / exact.grad.norm() < 1e-4


def test_centres_are_clipped_to_the_margin_and_nothing_else_is() -> None:
    start = gaussians(count=4)
    start[0, :, 0] = torch.tensor([-5.0, 1.0, 0.25, -1.0])
    ours = GaussianRepresentation(start, HEIGHT, WIDTH)
    with torch.no_grad():
        ours.parameters()["position"][1, 0, 1] = 3.0
        ours.parameters()["color"].mul_(100)
    ours.constrain()
    edge = 1 - BOUNDARY_MARGIN
    position = ours.parameters()["position"]
    assert position[0, :, 0].tolist() == pytest.approx([-edge, edge, 0.25, -edge])
    assert position[1, 0, 1].item() == pytest.approx(edge)
    # The rounding must not put a clipped centre back on the edge.
    assert position.bfloat16().abs().max() < 1
    assert torch.equal(ours.parameters()["color"], 100 * start[..., 5:-1])


def test_boundary_penalty_is_the_paper_s_formula() -> None:
    ours = GaussianRepresentation(gaussians(), HEIGHT, WIDTH, boundary_weight=0.1)
    direct = [
        -math.log(1 - x * x) - math.log(1 - y * y)
        for x, y in ours.parameters()["position"].detach().double().reshape(-1, 2).tolist()
    ]
    penalty = ours.penalty()
    assert penalty is not None
    # Measured: 5.4e-8, relative.
    assert penalty.item() == pytest.approx(0.1 * sum(direct) / len(direct), rel=1e-6)
    penalty.backward()
    position = ours.parameters()["position"]
    assert position.grad is not None
    # Downhill is towards the middle, for every coordinate.
    assert (position.grad * position.detach() >= 0).all()


def test_no_boundary_weight_means_no_penalty() -> None:
    assert GaussianRepresentation(gaussians(), HEIGHT, WIDTH, boundary_weight=0).penalty() is None
    assert made("pixels").penalty() is None


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="gaussians must be"):
        GaussianRepresentation(torch.zeros(3, 7), HEIGHT, WIDTH)
    with pytest.raises(InputError, match="pixels must be"):
        PixelRepresentation(torch.zeros(3, HEIGHT, WIDTH))
