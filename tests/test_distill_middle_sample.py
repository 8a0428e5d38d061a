"""NCFM and DANCE on real images: their Gaussians beat random real images and pixels of the same bytes."""

from __future__ import annotations

from typing import Any

import pytest

import gsdd_runtime as gsdd
from gsdd_runtime.datasets import RealData
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.experts import make_experts

NETWORK = "convnet2-w8"
# The five that are told apart worst: two of shirts, two of coats, and dresses.
NAMES = ("T-shirt/top", "Pullover", "Dress", "Coat", "Shirt")
BYTES = 28 * 28 * 4
OPTIONS: dict[str, dict[str, Any]] = {
    "ncfm": {"frequencies": 256},
    "dance": {},
}
FORMS: dict[str, dict[str, Any]] = {
    "gaussians": {"learning_rate": 8e-3, "fit_steps": 100},
    "pixels": {"learning_rate": 5e-2},
}


@pytest.fixture(scope="module")
def sample() -> RealData:
    """750 training and 300 test images."""
    whole = gsdd.load_dataset("fashion-mnist-sample", classes=NAMES)

    def first(images: Any, labels: Any, count: int) -> tuple[Any, Any]:
        kept = sorted(place for index in range(len(NAMES)) for place in (labels == index).nonzero().flatten()[:count])
        return images[kept], labels[kept]

    return RealData.of(
        "sample", first(whole.train_images, whole.train_labels, 150), first(whole.test_images, whole.test_labels, 60),
        whole.class_names,
    )  # fmt: skip


@pytest.fixture(scope="module")
def experts(sample: RealData, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sample") / "experts"
    make_experts(
        sample, folder, network=NETWORK, count=2, epochs=6, batch_size=32, learning_rate=0.05, momentum=0.9,
        device="cpu",
    )  # fmt: skip
    return str(folder)


def accuracy(made: gsdd.DistilledSet, data: RealData) -> float:
    options: dict[str, Any] = {"network": NETWORK, "epochs": 100, "repeats": 2, "device": "cpu", "seed": 1}
    return gsdd.evaluate(made, data, **options).last_epoch_mean


@pytest.fixture(scope="module")
def of_real_images(sample: RealData) -> float:
    return accuracy(random_real_set(sample, BYTES), sample)


@pytest.mark.parametrize("method", OPTIONS)
def test_gaussians_beat_real_images_and_pixels_of_the_same_bytes(
    method: str, sample: RealData, experts: str, of_real_images: float
) -> None:
    found = {}
    for representation, own in FORMS.items():
        options = {
            "method": method, "experts": experts, "network": NETWORK, "representation": representation, "ipc": 1,
            "batch_real": 32, "iterations": 40, "schedule": "cosine", "device": "cpu", **OPTIONS[method], **own,
        }  # fmt: skip
        found[representation] = accuracy(gsdd.distill(sample, **options), sample)
    print(method, found, of_real_images)
    assert found["gaussians"] > of_real_images + 0.05
    assert found["gaussians"] > found["pixels"] + 0.02
