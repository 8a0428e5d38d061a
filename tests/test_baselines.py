"""Randomly chosen real images: whose they are, and how storage is counted."""

from __future__ import annotations

import pytest
import torch
from easy_data import CLASSES, easy_data

from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.baselines import FIELD_PIXEL_BYTES, random_real_set, real_images_in

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
