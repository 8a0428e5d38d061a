"""``distill`` as a whole: what comes out, what fixes it, what it tells."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from distill_data import SMALL, blobs, break_loss

import gsdd_runtime as gsdd
from gsdd_runtime.distillation import distill, engine
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.distillation.representations import REPRESENTATIONS
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.progress import Progress


def test_the_set_tells_all_that_training_on_it_needs(tmp_path: Path) -> None:
    data = blobs(channels=3)
    out = tmp_path / "set.safetensors"
    made = gsdd.distill(data, device="cpu", out=out, seed=4, checkpoint_interval=5, **SMALL)
    read = gsdd.DistilledSet.load(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.safetensors", "set.safetensors.log.jsonl"]
    assert torch.equal(read.decode(), made.decode())
    assert read.hard_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert (read.height, read.width, read.channels, read.classes) == (12, 16, 3, 3)
    assert (read.ipc, read.gpc, read.method, read.seed) == (1, 3, "dm", 4)
    assert (read.mean, read.std) == (pytest.approx(data.mean), pytest.approx(data.std))
    assert read.class_names == data.class_names
    assert read.fingerprint == data.fingerprint
    assert read.options["network"] == "convnet1-w8"
    # Storage: that of one float32 image a class.
    assert 0.9 * 3 * 12 * 16 * 3 * 4 < read.nbytes - read.hard_labels.numel() * 8 <= 3 * 12 * 16 * 3 * 4


def test_images_start_from_their_own_class() -> None:
    data = blobs()
    made = distill(data, device="cpu", **{**SMALL, "fit_steps": 80, "iterations": 1})
    own = data.train_images.float() / 255
    centres = torch.stack([own[data.train_labels == index].mean(0) for index in range(3)])
    distances = (made.decode()[:, None] - centres[None]).square().mean(dim=(2, 3, 4))
    assert torch.equal(distances.argmin(dim=1), made.hard_labels)


def test_pixels_start_as_real_images_of_their_class_and_move() -> None:
    data = blobs()
    options: dict[str, Any] = {"representation": "pixels", "network": "convnet1-w8", "device": "cpu"}
    made = distill(data, iterations=1, learning_rate=1e-9, **options)
    assert made.gaussians is None
    assert made.pixels is not None
    assert made.pixels.shape == (6, 1, 12, 16)
    for image, label in zip(made.decode(), made.hard_labels, strict=True):
        own = data.train_images[data.train_labels == label].float() / 255
        # One image of the class within the rounding of bfloat16.
        assert (own - image).abs().amax(dim=(1, 2, 3)).min() < 4e-3
    moved = distill(data, iterations=5, **options)
    assert (moved.decode() - made.decode()).abs().max() > 1e-2


@pytest.mark.parametrize("coding", ["none", "entropy"])
def test_without_a_step_the_first_images_are_kept_as_they_were_fitted(coding: str) -> None:
    options = {**SMALL, "coding": coding, "gpc": 4, "device": "cpu"}
    kept = distill(blobs(), **{**options, "iterations": 0})
    still = distill(blobs(), **{**options, "iterations": 1, "learning_rate": 1e-9})
    assert (kept.method, still.method) == ("fit", "dm")
    assert kept.options["iterations"] == 0
    assert torch.equal(kept.rows(), still.rows())
    moved = distill(blobs(), **options)
    assert not torch.equal(kept.rows(), moved.rows())


def test_pixels_at_half_the_size_start_as_the_same_images_and_move() -> None:
    options = {"representation": "pixels", "downscale": 2, "gpc": 6, "seed": 3, "device": "cpu"}
    short = distill(blobs(), **{**SMALL, **options, "iterations": 1, "learning_rate": 1e-9})
    assert short.rows().shape == (18, 1, 6, 8)
    assert short.decode().shape == (18, 1, 12, 16)
    assert short.options["downscale"] == 2
    whole = blobs().train_images.float() / 255
    small = torch.nn.functional.avg_pool2d(whole, 2)
    # Scaling down bilinearly weighs a little more than the four pixels; worst measured: 0.07.
    nearest = (short.rows().float().unsqueeze(1) - small).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert nearest.max() < 0.1
    moved = distill(blobs(), **{**SMALL, **options})
    assert (moved.rows().float() - short.rows().float()).abs().max() > 0.02


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_matching_brings_the_distance_down(representation: str) -> None:
    losses: list[float] = []

    def report(progress: Progress) -> None:
        if progress.phase == "match" and progress.loss is not None:
            losses.append(progress.loss)

    options = {"network": "convnet1-w16", "batch_real": 10, "iterations": 30, "learning_rate": 1e-2, "augment": "none"}
    gpc = 3 if representation == "gaussians" else None
    distill(
        blobs(), representation=representation, gpc=gpc, fit_steps=10, device="cpu", progress=report, **options,
    )  # fmt: skip
    first, last = sum(losses[:6]) / 6, sum(losses[-6:]) / 6
    # Measured: Gaussians 0.28, pixels 0.39.
    assert last < 0.6 * first


@pytest.mark.parametrize("init", ["color", "random"])
def test_no_real_image_is_needed_to_start(init: str) -> None:
    reports: list[Progress] = []
    data = blobs()
    options = {**SMALL, "init": init, "fit_steps": 60, "iterations": 1}
    made = distill(data, device="cpu", progress=reports.append, **options)
    phases = {report.phase for report in reports}
    images = made.decode()
    if init == "color":
        assert phases == {"fit", "match"}
        # A solid image of the mean colour. Measured: 0.008 mean distance, against 0.17 from a random start.
        assert (images - data.mean[0]).abs().mean() < 0.05
    else:
        assert phases == {"match"}
    assert len({image.sum().item() for image in images}) == 9


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_the_seed_fixes_the_result(representation: str) -> None:
    data = blobs()
    options = {**SMALL, "representation": representation, "gpc": 2, "init": "random", "device": "cpu"}

    def stored(seed: int) -> torch.Tensor:
        made = distill(data, seed=seed, **options)
        tensor = made.gaussians if made.pixels is None else made.pixels
        assert tensor is not None
        return tensor

    first = stored(1)
    # What others drew in between must not matter.
    torch.rand(100)
    assert torch.equal(first, stored(1))
    assert not torch.equal(first, stored(2))


def test_the_global_generator_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    distill(blobs(), device="cpu", **SMALL)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_progress_counts_every_step_of_both_phases() -> None:
    reports: list[Progress] = []
    distill(blobs(), device="cpu", progress=reports.append, **SMALL)
    assert [(report.phase, report.step, report.total) for report in reports] == [
        *(("fit", step, 8) for step in range(1, 9)),
        *(("match", step, 12) for step in range(1, 13)),
    ]


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_loss(monkeypatch, step=7)
    out = tmp_path / "set.safetensors"
    with pytest.raises(GsddError, match="not finite at step 8 of 12 of match") as caught:
        distill(blobs(), device="cpu", out=out, checkpoint_interval=5, **SMALL)
    assert not isinstance(caught.value, InputError)
    assert not out.exists()
    kept = engine.Checkpoint.load(tmp_path / "set.safetensors.checkpoint")
    assert (kept.phase, kept.step) == ("match", 5)


def test_a_gradient_that_is_not_finite_is_noticed_before_it_does_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SyntheticImages.spread

    def broken(self: SyntheticImages) -> None:
        honest(self)
        position = self._representation.parameters()["position"]
        assert position.grad is not None
        position.grad[0, 0, 0] = math.inf

    monkeypatch.setattr(SyntheticImages, "spread", broken)
    # The kernel draws nothing for a Gaussian that is not finite: the loss alone would never tell.
    with pytest.raises(GsddError, match="not finite at step 1 of 12 of match: start anew"):
        distill(blobs(), device="cpu", **SMALL)


def test_options_are_json(tmp_path: Path) -> None:
    made = distill(blobs(), device="cpu", **SMALL)
    assert json.loads(json.dumps(made.options)) == made.options
