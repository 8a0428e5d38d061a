"""What trajectory matching is for: its sets train a network better than real images of the same bytes."""

from __future__ import annotations

import pytest

import gsdd_runtime as gsdd
from gsdd_runtime.datasets import RealData
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.experts import make_experts

NETWORK = "convnet2-w8"
SIDE, IMAGES = 12, 1000


@pytest.fixture(scope="module")
def real() -> RealData:
    """Part of the embedded sample, small."""
    whole = gsdd.load_dataset("fashion-mnist-sample", size=(SIDE, SIDE))
    part = (whole.train_images[:IMAGES], whole.train_labels[:IMAGES])
    return RealData.of("part", part, (whole.test_images, whole.test_labels), whole.class_names)


@pytest.fixture(scope="module")
def experts(real: RealData, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("accuracy") / "experts"
    options = {"network": NETWORK, "count": 3, "epochs": 10, "batch_size": 64, "learning_rate": 0.05}
    make_experts(real, folder, device="cpu", **options)  # type: ignore[arg-type]
    return str(folder)


def accuracy(made: gsdd.DistilledSet, real: RealData) -> float:
    """Of two networks, trained at the rate that the set states, or at the field's."""
    return gsdd.evaluate(made, real, network=NETWORK, epochs=150, repeats=2, device="cpu").last_epoch_mean


@pytest.mark.slow
def test_a_set_beats_real_images_of_its_bytes_and_pixels_by_the_same_objective(real: RealData, experts: str) -> None:
    options = {
        "method": "tm", "experts": experts, "network": NETWORK, "ipc": 1, "iterations": 60, "syn_steps": 6,
        "max_start_epoch": 4, "start_rate": 0.05, "lr_lr": 1e-3, "learning_rate": 0.01, "seed": 2, "device": "cpu",
    }  # fmt: skip
    gaussians = gsdd.distill(real, gpc=4, fit_steps=200, **options)
    pixels = gsdd.distill(real, representation="pixels", **options)
    assert gaussians.image_nbytes <= pixels.image_nbytes == 10 * SIDE * SIDE * 4
    # A byte a pixel: as many as the storage holds.
    random = random_real_set(real, SIDE * SIDE * 4)
    assert len(random) == 40
    reached = {name: accuracy(made, real) for name, made in (("gaussians", gaussians), ("pixels", pixels))}
    baseline = accuracy(random, real)
    assert reached["gaussians"] > baseline + 0.05
    assert reached["pixels"] > baseline
    assert reached["gaussians"] > reached["pixels"]
