"""Fitting images with Gaussians."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs
from torch import Tensor

from gsdd_runtime import reference
from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.distillation import distill, fit, fit_images, placement
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.progress import Progress
from gsdd_runtime.splatting.gaussians import BOUNDARY_MARGIN


def real_images(count: int = 6) -> Tensor:
    return load_dataset("fashion-mnist-sample").train_images[:count]


def test_real_images_are_reproduced() -> None:
    images = real_images()
    few = fit_images(images, 22, steps=10, device="cpu")
    many = fit_images(images, 22, steps=150, device="cpu")
    assert many.gaussians.shape == (6, 22, 7)
    assert many.gaussians.dtype == torch.float32
    # Measured: 20.6 dB on average over these six (10 steps: 13.2); a flat image of each one's mean is at 9.8.
    assert many.psnr.mean() > 19
    assert many.psnr.mean() > few.psnr.mean() + 4
    assert many.gaussians[..., :2].abs().max() <= 1 - BOUNDARY_MARGIN


def test_psnr_is_that_of_what_would_be_stored() -> None:
    images = real_images(3)
    result = fit_images(images, 12, steps=20, device="cpu")
    drawn = reference.splat(result.gaussians.bfloat16().double(), 28, 28)
    errors = (drawn - images.double() / 255).square().mean(dim=(1, 2, 3))
    expected = [-10 * math.log10(error) for error in errors.tolist()]
    # Measured: 5e-6 dB.
    assert result.psnr.tolist() == pytest.approx(expected, abs=1e-3)


def test_bytes_and_floats_are_the_same_images() -> None:
    images = real_images(2)
    options = {"steps": 5, "device": "cpu"}
    from_bytes = fit_images(images, 8, **options)
    assert torch.equal(from_bytes.gaussians, fit_images(images.float() / 255, 8, **options).gaussians)
    assert torch.equal(from_bytes.gaussians, fit_images(images, 8, seed=0, **options).gaussians)
    assert not torch.equal(from_bytes.gaussians, fit_images(images, 8, seed=1, **options).gaussians)


def test_passes_that_bound_the_memory_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    images = real_images(5)
    whole = fit_images(images, 8, steps=5, device="cpu")
    monkeypatch.setattr(fit, "PASS_VALUES", 2 * 28 * 28)
    parts = fit_images(images, 8, steps=5, device="cpu")
    # Measured: 0.
    assert (whole.gaussians - parts.gaussians).abs().max() < 1e-4


def test_oblong_colour_images_and_progress() -> None:
    reports: list[Progress] = []
    images = torch.rand(2, 3, 10, 17, generator=torch.Generator().manual_seed(0))
    result = fit_images(images, 5, steps=4, device="cpu", progress=reports.append)
    assert result.gaussians.shape == (2, 5, 9)
    assert [(report.phase, report.step, report.total) for report in reports] == [
        ("fit", step, 4) for step in (1, 2, 3, 4)
    ]
    assert all(report.loss is not None and math.isfinite(report.loss) for report in reports)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (torch.zeros(3, 28, 28), {}, "images must be"),
        (torch.zeros(0, 1, 28, 28), {}, "images must be"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.int64), {}, "uint8 or a float type, got torch.int64"),
        (torch.full((1, 1, 4, 4), 2.0), {}, r"must lie in \[0, 1\], got 2 to 2: divide bytes by 255"),
        (torch.full((1, 1, 4, 4), math.nan), {}, "got nan to nan"),
        (torch.zeros(1, 1, 4, 4), {"count": 0}, "count must be a whole number of at least 1, got 0"),
        (torch.zeros(1, 1, 4, 4), {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (torch.zeros(1, 1, 4, 4), {"learning_rate": -1.0}, "learning_rate must be a number above 0, got -1.0"),
        (torch.zeros(1, 5, 4, 4), {}, "channels"),
    ],
)
def test_mistakes(images: Tensor, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_images(images, **{"count": 3, "device": "cpu", **options})  # type: ignore[arg-type]


def test_a_rate_that_blows_up_is_told_with_its_step() -> None:
    with pytest.raises(GsddError, match=r"not finite at step \d+ of 60 of fit: start anew with a learning rate below"):
        fit_images(real_images(1), 4, steps=60, learning_rate=1e36, device="cpu")


def test_real_images_are_fitted_from_their_bytes_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data, asked = blobs(), []
    options: dict[str, Any] = {**SMALL, "device": "cpu", "seed": 4, "iterations": 1}
    whole = distill(data, **options)
    monkeypatch.setattr(fit, "PASS_VALUES", 2 * data.train_images[0].numel())
    monkeypatch.setattr(placement, "VALUES_AT_ONCE", 2 * data.train_images[0].numel())
    honest = RealImages.pixels

    def pixels(self: RealImages, positions: Tensor) -> Tensor:
        asked.append(len(positions))
        return honest(self, positions)

    monkeypatch.setattr(RealImages, "pixels", pixels)
    parts = distill(data, **options)
    assert max(asked) == 2
    assert whole.gaussians is not None
    assert parts.gaussians is not None
    assert torch.equal(whole.gaussians, parts.gaussians)


def test_a_run_fits_the_images_that_its_start_has_chosen() -> None:
    data = blobs()
    made = distill(data, **{**SMALL, "device": "cpu", "init": "first", "iterations": 1, "fit_steps": 80, "ipc": 3})
    chosen = torch.cat([(data.train_labels == index).nonzero().flatten()[:3] for index in range(3)])
    targets = data.train_images[chosen].float() / 255
    errors = (made.decode()[:, None] - targets[None]).square().mean(dim=(2, 3, 4))
    assert errors.argmin(dim=1).tolist() == list(range(9))
