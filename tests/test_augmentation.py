"""DSA against a slow implementation that goes image by image and pixel by pixel."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.errors import InputError
from gsdd_runtime.training import augmentation
from gsdd_runtime.training.augmentation import DEFAULT_STRATEGY, DsaDraw, augmented_together, draw_dsa, dsa

KINDS = DEFAULT_STRATEGY.split("_")
SHAPES = [(2, 1, 28, 28), (2, 3, 16, 16), (2, 3, 9, 14), (2, 2, 7, 5), (3, 4, 1, 1)]


def some_images(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def some_draw(kind: str, count: int, seed: int = 2) -> DsaDraw:
    return draw_dsa(torch.Generator().manual_seed(seed), count, strategy=kind)


def read(plane: list[list[float]], row: int, column: int) -> float:
    inside = 0 <= row < len(plane) and 0 <= column < len(plane[0])
    return plane[row][column] if inside else 0.0


def sampled(image: Tensor, matrix: list[list[float]]) -> Tensor:
    """The image at the matrix's image of each pixel centre, in coordinates of -1 to 1; bilinear, zeros outside."""
    channels, height, width = image.shape
    planes = image.tolist()
    result = [[[0.0] * width for _ in range(height)] for _ in range(channels)]
    for row in range(height):
        for column in range(width):
            x, y = (column + 0.5) / width * 2 - 1, (row + 0.5) / height * 2 - 1
            source_column = (matrix[0][0] * x + matrix[0][1] * y + 1) / 2 * width - 0.5
            source_row = (matrix[1][0] * x + matrix[1][1] * y + 1) / 2 * height - 0.5
            left, top = math.floor(source_column), math.floor(source_row)
            for r in (top, top + 1):
                for c in (left, left + 1):
                    weight = (1 - abs(source_row - r)) * (1 - abs(source_column - c))
                    for channel in range(channels):
                        result[channel][row][column] += weight * read(planes[channel], r, c)
    return torch.tensor(result, dtype=image.dtype)


def slow(image: Tensor, kind: str, amounts: list[float]) -> Tensor:
    """One image ``[C, H, W]`` changed as the protocol words it, by three amounts in [0, 1)."""
    _, height, width = image.shape
    if kind == "flip":
        return image.flip(2) if amounts[0] < 0.5 else image
    if kind == "scale":
        x, y = (amount * (1.2 - 1 / 1.2) + 1 / 1.2 for amount in amounts[:2])
        return sampled(image, [[x, 0], [0, y]])
    if kind == "rotate":
        angle = math.radians((amounts[0] * 2 - 1) * 15)
        cosine, sine = math.cos(angle), math.sin(angle)
        return sampled(image, [[cosine, -sine * height / width], [sine * width / height, cosine]])
    result = image.clone()
    if kind == "crop":
        most_down, most_right = int(height / 8 + 0.5), int(width / 8 + 0.5)
        down = math.floor(amounts[0] * (2 * most_down + 1)) - most_down
        right = math.floor(amounts[1] * (2 * most_right + 1)) - most_right
        planes = image.tolist()
        for channel, row, column in product(*map(range, image.shape)):
            result[channel, row, column] = read(planes[channel], row + down, column + right)
    if kind == "cutout":
        tall, wide = int(height / 2 + 0.5), int(width / 2 + 0.5)
        centre_row = math.floor(amounts[0] * (height + 1 - tall % 2))
        centre_column = math.floor(amounts[1] * (width + 1 - wide % 2))
        for row in range(centre_row - tall // 2, centre_row - tall // 2 + tall):
            for column in range(centre_column - wide // 2, centre_column - wide // 2 + wide):
                if 0 <= row < height and 0 <= column < width:
                    result[:, row, column] = 0
    if kind == "color":
        result = image + amounts[0] - 0.5
        gray = result.mean(dim=0)
        result = (result - gray) * (amounts[1] * 2) + gray
        mean = result.mean()
        result = (result - mean) * (amounts[2] + 0.5) + mean
    return result


def slow_batch(images: Tensor, draw: DsaDraw) -> Tensor:
    amounts = draw.amounts.expand(3, len(images)).T.tolist()
    return torch.stack([slow(image, draw.kind, chosen) for image, chosen in zip(images, amounts, strict=True)])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_that_of_the_slow_implementation(kind: str, shape: tuple[int, ...]) -> None:
    images = some_images(shape)
    for count in (shape[0], 1):
        for seed in range(3):
            draw = some_draw(kind, count, seed)
            # Worst difference measured: 2e-14, for rotate.
            torch.testing.assert_close(draw.apply(images), slow_batch(images, draw), rtol=0, atol=1e-12)


# Worst differences measured, for values up to 4: float32 7e-6, bfloat16 2.6e-2, float16 4.8e-3.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 0.05), (torch.float16, 0.01)])
@pytest.mark.parametrize("kind", KINDS)
def test_other_precisions(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    images = some_images((3, 3, 20, 24), dtype)
    draw = some_draw(kind, 3)
    changed = draw.apply(images)
    assert changed.dtype == dtype
    expected = draw.apply(images.double())
    torch.testing.assert_close(changed.double(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2])
def test_gradients_reach_the_images(kind: str, count: int) -> None:
    images = some_images((2, 2, 5, 6)).requires_grad_()
    assert torch.autograd.gradcheck(some_draw(kind, count).apply, (images,))


@pytest.mark.parametrize("kind", ["scale", "rotate"])
@pytest.mark.parametrize("count", [1, 3])
def test_sampling_by_gather_is_grid_sample(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grids = []
    monkeypatch.setattr(functional, "grid_sample", lambda images, grid, **_: (grids.append(grid[:count]), images)[1])
    some_draw(kind, count).apply(some_images((3, 2, 9, 14)))
    monkeypatch.undo()
    (grid,) = grids
    images = some_images((3, 2, 9, 14)).requires_grad_()
    cotangent = some_images((3, 2, 9, 14)).flip(0)
    ours = augmentation._sample_by_gather(images, grid)
    theirs = functional.grid_sample(images, grid.expand(3, -1, -1, -1), align_corners=False)
    # Worst differences measured: 4e-15 for the values, 3e-15 for the gradient.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(value, images, cotangent)[0] for value in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


def test_one_draw_serves_real_and_synthetic_images() -> None:
    for seed in range(12):
        draw = draw_dsa(torch.Generator().manual_seed(seed))
        images = some_images((5, 3, 16, 16))
        together = draw.apply(images)
        assert torch.equal(together[2:4], draw.apply(images[2:4]))
        shared = dsa(images, torch.Generator().manual_seed(seed), shared=True)
        assert torch.equal(shared, together)


def test_amounts_differ_from_image_to_image() -> None:
    image = some_images((1, 3, 32, 32))
    for kind in KINDS:
        changed = some_draw(kind, 64).apply(image.expand(64, -1, -1, -1))
        least = 2 if kind == "flip" else 30
        assert len({tuple(one.flatten().tolist()) for one in changed}) >= least, kind


def test_dsa_draws_amounts_for_every_image_of_a_batch() -> None:
    image = some_images((1, 3, 32, 32))
    for kind in KINDS:
        alike, apart = (
            dsa(image.expand(64, -1, -1, -1), torch.Generator().manual_seed(2), strategy=kind, shared=shared)
            for shared in (True, False)
        )
        assert len({tuple(one.flatten().tolist()) for one in alike}) == 1, kind
        assert len({tuple(one.flatten().tolist()) for one in apart}) >= (2 if kind == "flip" else 30), kind


def test_kinds_are_drawn_evenly_and_from_the_strategy_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = Counter(draw_dsa(generator).kind for _ in range(1200))
    assert set(kinds) == set(KINDS)
    # 200 expected of each; 4.5 standard deviations are 58.
    assert all(abs(count - 200) < 58 for count in kinds.values())
    assert {draw_dsa(generator, strategy="flip_crop").kind for _ in range(50)} == {"flip", "crop"}


def test_a_flip_comes_half_of_the_time() -> None:
    image = some_images((1, 1, 4, 4))
    changed = some_draw("flip", 1000).apply(image.expand(1000, -1, -1, -1))
    flipped = int((changed == image.flip(3)).flatten(1).all(dim=1).sum())
    assert 430 < flipped < 570


def test_saturation_leaves_one_channel_alone() -> None:
    images = some_images((4, 1, 8, 8))
    draw = some_draw("color", 4)
    other = DsaDraw("color", torch.stack([draw.amounts[0], torch.rand(4), draw.amounts[2]]))
    assert torch.equal(draw.apply(images), other.apply(images))


def test_the_generator_is_the_only_chance() -> None:
    images = some_images((4, 3, 16, 16))
    before = torch.get_rng_state()
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    for _ in range(10):
        assert torch.equal(dsa(images, generators[0]), dsa(images, generators[1]))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_images_given_are_not_changed() -> None:
    images = some_images((4, 3, 16, 16))
    copy = images.clone()
    for kind in KINDS:
        some_draw(kind, 4).apply(images)
        assert torch.equal(images, copy), kind


@pytest.mark.parametrize("strategy", ["", "flip_", "blur", "color_crop_noise", "flip crop"])
def test_unknown_strategies_list_the_kinds(strategy: str) -> None:
    with pytest.raises(InputError, match=r"unknown DSA kind .*color, crop, cutout, flip, scale, rotate"):
        draw_dsa(torch.Generator(), strategy=strategy)


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(5, 1, 4, 4)]
)
def test_other_images_are_refused(images: Tensor) -> None:
    with pytest.raises(InputError):
        some_draw("flip", 2).apply(images)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", KINDS)
def test_cuda_changes_images_as_the_cpu_does_and_the_same_every_time(kind: str) -> None:
    draw = some_draw(kind, 8)
    on_cpu = some_images((8, 3, 32, 32)).requires_grad_()
    cotangent = some_images((8, 3, 32, 32)).flip(0)
    on_cuda = on_cpu.detach().cuda().requires_grad_()
    torch.testing.assert_close(draw.apply(on_cuda).cpu(), draw.apply(on_cpu), rtol=0, atol=1e-12)
    expected = torch.autograd.grad(draw.apply(on_cpu), on_cpu, cotangent)[0]
    gradients = [torch.autograd.grad(draw.apply(on_cuda), on_cuda, cotangent.cuda())[0] for _ in range(3)]
    torch.testing.assert_close(gradients[0].cpu(), expected, rtol=0, atol=1e-12)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


def test_batches_that_are_changed_together_are_changed_as_each_alone() -> None:
    sizes = (3, 1, 4, 2, 2, 3, 1, 2)
    images = torch.randn(sum(sizes), 3, 9, 12, generator=torch.Generator().manual_seed(0))
    # Seeds whose kinds come twice and in no order.
    draws = [draw_dsa(torch.Generator().manual_seed(seed)) for seed in range(len(sizes))]
    assert 1 < len({draw.kind for draw in draws}) < len(draws)
    alone = torch.cat([draw.apply(part) for draw, part in zip(draws, images.split(sizes), strict=True)])
    assert torch.equal(augmented_together(draws, images, sizes), alone)
