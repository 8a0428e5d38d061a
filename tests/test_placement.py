"""Where Gaussians start that are fitted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from torch import Tensor

from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.distillation import distill, fit_images
from gsdd_runtime.distillation.placement import edge_density, inverse_of_sums, placed_at_edges
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.gaussians import BOUNDARY_MARGIN, CHOLESKY_BIAS, initial_gaussians

HEIGHT, WIDTH = 12, 16


def drawn(images: int, count: int, channels: int = 1) -> Tensor:
    return initial_gaussians(images, count, channels, HEIGHT, WIDTH, torch.Generator().manual_seed(2))


def half_white(channels: int = 1) -> Tensor:
    """Black, and from column 8 on of a color: its edge is between the columns 7 and 8."""
    images = torch.zeros(1, channels, HEIGHT, WIDTH)
    images[..., 8:] = torch.linspace(0.5, 1, channels).view(-1, 1, 1)
    return images


def test_four_in_five_start_at_an_edge_and_the_rest_anywhere() -> None:
    placed = placed_at_edges(drawn(1, 5000), half_white())
    column = (placed[0, :, 0] + 1) / 2 * WIDTH
    # 0.8 of the density lies in the two columns of the edge, and of the even part two in sixteen.
    at_edge = ((column > 7) & (column < 9)).float().mean()
    assert float(at_edge) == pytest.approx(0.8 + 0.2 * 2 / 16, abs=0.02)
    assert float((column < 4).float().mean()) == pytest.approx(0.2 * 4 / 16, abs=0.01)
    row = (placed[0, :, 1] + 1) / 2 * HEIGHT
    assert torch.histc(row, 4, 0, HEIGHT).tolist() == pytest.approx([1250] * 4, abs=80)
    assert placed[..., :2].abs().max() <= 1 - 2 * BOUNDARY_MARGIN


def test_they_are_narrower_and_of_the_color_of_their_pixel() -> None:
    start, images = drawn(1, 60, channels=3), half_white(channels=3)
    placed = placed_at_edges(start, images)
    for one in placed[0].double():
        x, y = math.floor((one[0] + 1) / 2 * WIDTH), math.floor((one[1] + 1) / 2 * HEIGHT)
        assert torch.allclose(one[5:8].float(), 0.6 * images[0, :, y, x])
    bias = torch.tensor([CHOLESKY_BIAS, 0, CHOLESKY_BIAS])
    assert torch.allclose(placed[..., 2:5] + bias, (start[..., 2:5] + bias) / 2)
    assert torch.equal(placed[..., 8], start[..., 8])


def test_an_image_without_edges_leaves_them_as_they_were_drawn_and_each_is_placed_by_itself() -> None:
    start = drawn(3, 9)
    images = torch.cat((half_white(), torch.full((1, 1, HEIGHT, WIDTH), 0.5), half_white().roll(-3, dims=3)))
    placed = placed_at_edges(start, images)
    assert torch.equal(placed[1], start[1])
    assert placed_at_edges(start[:0], images[:0]).shape == (0, 9, 7)
    for index in (0, 2):
        assert torch.equal(placed[index], placed_at_edges(start[index : index + 1], images[index : index + 1])[0])
    assert not torch.equal(placed[0], placed[2])


def test_the_density_is_the_length_of_the_slope_over_all_channels() -> None:
    images = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(3))
    slope = torch.zeros(2, 5, 6, dtype=torch.float64)
    for image in range(2):
        for row in range(5):
            for column in range(6):
                total = 0.0
                for channel in images[image].double():
                    across = channel[row, min(column + 1, 5)] - channel[row, max(column - 1, 0)]
                    down = channel[min(row + 1, 4), column] - channel[max(row - 1, 0), column]
                    total += float(across) ** 2 + float(down) ** 2
                slope[image, row, column] = math.sqrt(total)
    expected = 0.8 * slope / slope.mean(dim=(1, 2), keepdim=True) + 0.2
    assert torch.allclose(edge_density(images), expected, rtol=1e-12)


def test_shares_of_a_sum_are_found_within_their_pixel() -> None:
    density = torch.tensor([[1.0, 3.0, 4.0]], dtype=torch.float64)
    shares = torch.tensor([[0.0, 1 / 16, 1 / 8, 0.5, 0.75, 1.0]], dtype=torch.float64)
    assert inverse_of_sums(density, shares).tolist() == [[0.0, 0.5, 1.0, 2.0, 2.5, 3.0]]


def test_fits_from_edges_are_better_by_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    images = load_dataset("fashion-mnist-sample").train_images[:8]
    from_edges = fit_images(images, 22, steps=60, device="cpu").psnr.mean()
    monkeypatch.setattr("gsdd_runtime.distillation.fit.placed_at_edges", lambda gaussians, _: gaussians)
    # Measured: 20.0 and 17.1 dB.
    assert from_edges > fit_images(images, 22, steps=60, device="cpu").psnr.mean() + 1.5


def test_a_run_starts_at_the_edges_of_its_images_unless_it_is_told_otherwise() -> None:
    options: dict[str, Any] = {
        **SMALL,
        "iterations": 1,
        "learning_rate": 1e-9,
        "fit_steps": 1,
        "fit_learning_rate": 1e-9,
    }
    sets = {name: distill(blobs(), placement=name, **options) for name in ("edges", "uniform")}
    assert torch.equal(distill(blobs(), **options).rows(), sets["edges"].rows())
    assert sets["uniform"].options["placement"] == "uniform"
    colors = {name: one.rows()[..., 5].float() for name, one in sets.items()}
    # Small noise of either sign, or of an image that has no negative value.
    assert colors["uniform"].min() < 0
    assert colors["edges"].min() >= 0
    with pytest.raises(InputError, match="placement 'middle' is not known: choose one of edges, uniform"):
        distill(blobs(), placement="middle", **options)
