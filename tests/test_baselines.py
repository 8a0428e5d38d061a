"""Randomly chosen real images: whose they are, and how storage is counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from easy_data import CLASSES, easy_data

from gsdd_runtime import networks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.starts.herding import herded
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate_whole
from gsdd_runtime.evaluation.baselines import (
    FIELD_PIXEL_BYTES,
    centers,
    embedding,
    random_real_set,
    real_images_in,
    real_set,
)
from gsdd_runtime.seeds import derived_generator

DATA = easy_data()


def test_images_are_different_real_ones_of_their_class() -> None:
    distilled = random_real_set(DATA, per_class=4, seed=1)
    assert distilled.pixels is not None
    assert distilled.labels.bincount().tolist() == [4] * CLASSES
    real = (DATA.train_images.float() / 255).to(torch.bfloat16)
    found = [int(torch.nonzero((real == image).flatten(1).all(dim=1)).item()) for image in distilled.pixels]
    assert len(set(found)) == 4 * CLASSES
    assert torch.equal(DATA.train_labels[found], distilled.labels)


def test_all_images_of_a_class_can_be_chosen() -> None:
    distilled = random_real_set(DATA, per_class=10)
    assert len(distilled) == 30
    with pytest.raises(InputError, match="class top of easy has 10 training images, 11 are needed"):
        random_real_set(DATA, per_class=11)


def test_the_seed_fixes_the_choice() -> None:
    def chosen(seed: int) -> torch.Tensor:
        return random_real_set(DATA, per_class=3, seed=seed).decode()

    assert torch.equal(chosen(1), chosen(1))
    assert not torch.equal(chosen(1), chosen(2))


def test_it_says_what_it_is() -> None:
    distilled = random_real_set(DATA, per_class=2, seed=6)
    assert (distilled.method, distilled.gpc, distilled.seed) == ("random-real", 2, 6)
    assert (distilled.mean, distilled.std) == (DATA.mean, DATA.std)
    assert (distilled.class_names, distilled.fingerprint) == (DATA.class_names, DATA.fingerprint)


@pytest.mark.parametrize(
    ("storage", "pixel_bytes", "count"),
    # An image is 8 x 8 = 64 numbers; the storage of one image of float32 is 256 bytes.
    [(256, 1, 4), (256, FIELD_PIXEL_BYTES, 1), (511, FIELD_PIXEL_BYTES, 1), (64, 1, 1), (200, 1, 3)],
)
def test_storage_is_counted_in_bytes(storage: int, pixel_bytes: int, count: int) -> None:
    assert real_images_in(DATA, storage, pixel_bytes=pixel_bytes) == count
    assert len(random_real_set(DATA, storage, pixel_bytes=pixel_bytes)) == count * CLASSES


def test_colour_takes_three_times_as_much() -> None:
    assert real_images_in(easy_data(channels=3), 64 * 3 * 2) == 2


def test_a_storage_below_one_image_is_refused() -> None:
    with pytest.raises(InputError, match="255 bytes a class do not hold one real image of 256 bytes"):
        random_real_set(DATA, 255, pixel_bytes=FIELD_PIXEL_BYTES)


@pytest.mark.parametrize("options", [{}, {"storage_bytes_per_class": 256, "per_class": 1}, {"per_class": 0}], ids=str)
def test_the_number_must_be_given_once(options: dict[str, int]) -> None:
    with pytest.raises(InputError):
        random_real_set(DATA, **options)


def test_bytes_survive_bfloat16_to_half_a_level_in_256() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, -1, -1, -1).contiguous()
    data = RealData.of("ramp", (ramp, torch.tensor([0, 1])), (ramp, torch.tensor([0, 1])), ("a", "b"))
    decoded = random_real_set(data, per_class=1).decode()
    # bfloat16 keeps 8 bits: at most half a level of 256 between 1/2 and 1, less below.
    assert (decoded * 255 - ramp).abs().max() <= 0.5


def some_features(count: int = 30, seed: int = 3) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


def test_centers_are_each_the_farthest_from_those_before() -> None:
    """By plain loops, in float64."""
    features = some_features().double()
    mean = features.mean(dim=0)
    expected = [min(range(30), key=lambda row: float((features[row] - mean).norm()))]
    while len(expected) < 8:
        gaps = [min(float((row - features[one]).norm()) for one in expected) for row in features]
        expected.append(max(range(30), key=gaps.__getitem__))
    assert centers(features, 8).tolist() == expected
    same = torch.ones(4, 3)
    assert sorted(centers(same, 4).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["herding", "kcenter"])
def test_images_are_chosen_by_features_of_their_class(kind: str) -> None:
    def embed(images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).float()

    made = real_set(DATA, kind, per_class=3, embed=embed)
    assert (made.method, made.gpc, made.seed) == (f"{kind}-real", 3, None)
    assert made.pixels is not None
    for index in range(CLASSES):
        features = embed(DATA.train_images[DATA.train_labels == index])
        picked = herded(features, 3) if kind == "herding" else centers(features, 3)
        expected = (DATA.train_images[DATA.train_labels == index][picked].float() / 255).bfloat16()
        assert torch.equal(made.pixels[made.labels == index], expected)
    with pytest.raises(InputError, match="chooses by features"):
        real_set(DATA, kind, per_class=3)
    with pytest.raises(InputError, match="no baseline 'best'"):
        real_set(DATA, "best", per_class=3)


def test_a_network_embeds_what_it_takes() -> None:
    network = networks.build("convnet1-w4", 1, 3, (8, 8), seed=0)
    found = embedding(network, DATA.preparation, torch.device("cpu"))(DATA.train_images)
    expected = network.embed((DATA.train_images / 255 - DATA.mean[0]) / DATA.std[0])
    torch.testing.assert_close(found, expected.detach())


def test_the_whole_is_all_training_images() -> None:
    """Of one epoch of one batch, the loss is that of the fresh network on all of them."""
    options: dict[str, Any] = {"network": "convnet1-w4", "epochs": 1, "repeats": 1, "augment": None, "device": "cpu"}
    found = evaluate_whole(DATA, **options)
    network = networks.build("convnet1-w4", 1, 3, (8, 8), derived_generator(0, "evaluate", 0))
    logits = network((DATA.train_images / 255 - DATA.mean[0]) / DATA.std[0])
    expected = torch.nn.functional.cross_entropy(logits, DATA.train_labels)
    assert found.repeats[0].loss == pytest.approx(expected.item(), abs=1e-5)
    assert found.distilled["images"] == 30
    assert found.distilled["bytes"] == 30 * 64
    assert found.to_dict()["set"]["method"] == "whole"
    with pytest.raises(InputError, match="no test images"):
        evaluate_whole(easy_data(test=None), **options)
    with pytest.raises(InputError, match="repeats"):
        evaluate_whole(DATA, **{**options, "repeats": 0})
