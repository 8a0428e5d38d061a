"""Random crops, flips and CutMix: every pixel from where it should be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gsdd_runtime.training.mixing import Mix, _boxes, cropped, cutmix


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_crop_is_a_part_of_its_image_scaled_up() -> None:
    """A plane that rises along both axes tells where each pixel of the result comes from."""
    height, width = 12, 20
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    plane = torch.stack([rows, columns]).float()
    images = plane.expand(40, -1, -1, -1).contiguous()
    found = cropped(images, generator(3), 0.2)
    boxes = _boxes(40, height, width, generator(3), 0.2)
    flipped = 0
    for image, (top, left, tall, wide) in zip(found, boxes.tolist(), strict=True):
        down = top + (torch.arange(height) + 0.5) * tall / height - 0.5
        across = left + (torch.arange(width) + 0.5) * wide / width - 0.5
        mirrored = bool(image[1, 0, 0] > image[1, 0, -1])
        flipped += mirrored
        across = across.flip(0) if mirrored else across
        expected = torch.stack([down[:, None].expand(-1, width), across[None].expand(height, -1)])
        expected[0].clamp_(0, height - 1)
        expected[1].clamp_(0, width - 1)
        torch.testing.assert_close(image, expected, rtol=0, atol=1e-4)
    assert 10 < flipped < 30


def test_crops_stay_inside_and_keep_the_least_share() -> None:
    top, left, tall, wide = _boxes(2000, 30, 40, generator(), 0.25).unbind(1)
    assert bool(((top >= 0) & (left >= 0) & (top + tall <= 30) & (left + wide <= 40)).all())
    shares = tall * wide / (30 * 40)
    assert 0.22 < shares.min() < 0.3
    assert 0.9 < shares.max() <= 1
    assert bool((((wide / tall) > 0.7) & ((wide / tall) < 1.45)).all())


def test_a_crop_of_all_is_the_image_or_its_mirror() -> None:
    images = torch.rand(8, 3, 6, 6)
    for image, found in zip(images, cropped(images, generator(1), 1.0), strict=True):
        same = [torch.allclose(found, each, atol=1e-5) for each in (image, image.flip(2))]
        # A square image has only itself of its whole area; other proportions fall back to it.
        assert any(same)


def test_cutmix_pastes_one_rectangle_of_the_partner() -> None:
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(-1, 2, 16, 10).contiguous()
    shares = []
    for seed in range(200):
        mixed, mix = cutmix(images, generator(seed))
        for index, image in enumerate(mixed):
            partner = int(mix.partners[index])
            foreign = image != index
            if partner == index:
                assert not bool(foreign.any())
                continue
            assert bool((image[foreign] == partner).all())
            rows, columns = (foreign[0].any(dim=axis).nonzero() for axis in (1, 0))
            inside = foreign[0].sum()
            assert inside == (len(rows) and (rows.max() - rows.min() + 1)) * (
                len(columns) and (columns.max() - columns.min() + 1)
            )
            assert mix.share == pytest.approx(1 - float(inside) / 160)
        shares.append(mix.share)
    assert 0.5 < sum(shares) / 200 < 0.85
    assert bool((images[3] == 3).all())


@pytest.mark.parametrize(
    "labels", [torch.tensor([0, 2, 1]), torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])], ids=["hard", "soft"]
)
def test_mixed_labels_go_by_area(labels: Tensor) -> None:
    mix = Mix(torch.tensor([1, 0, 2]), 0.75)
    expected = torch.tensor([[0.75, 0, 0.25], [0.25, 0, 0.75], [0, 1, 0]])
    assert torch.equal(mix.labels(labels, 3), expected)


def test_draws_follow_from_the_generator_alone() -> None:
    images = torch.rand(5, 3, 8, 8)
    before = torch.get_rng_state()
    for change in (lambda seed: cropped(images, generator(seed), 0.1), lambda seed: cutmix(images, generator(seed))[0]):
        assert torch.equal(change(1), change(1))
        assert not torch.equal(change(1), change(2))
    assert torch.equal(torch.get_rng_state(), before)
