"""Decoding a DistilledSet: which images, at what size, in what form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from set_files import pixel_set, some_set

from gsdd_runtime import reference
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.description import description
from gsdd_runtime.sets.distilled_set import DistilledSet


def expected_images(distilled_set: DistilledSet, height: int = 12, width: int = 10) -> torch.Tensor:
    assert distilled_set.gaussians is not None
    return reference.splat(distilled_set.gaussians.double(), height, width, native_size=(12, 10))


# Choosing images


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        (None, [0, 1, 2, 3, 4, 5]),
        (2, [2]),
        (np.int64(5), [5]),
        (slice(1, 3), [1, 2]),
        (slice(None, None, -2), [5, 3, 1]),
        (slice(4, 100), [4, 5]),
        (slice(3, 1), []),
        (range(1, 6, 2), [1, 3, 5]),
        ([], []),
        ([5, 0, 5], [5, 0, 5]),
        (np.array([1, 2], dtype=np.uint8), [1, 2]),
        (torch.tensor([3, 1], dtype=torch.int32), [3, 1]),
        (torch.tensor(4), [4]),
    ],
)
def test_indices(indices: Any, expected: list[int]) -> None:
    distilled_set = some_set()
    assert distilled_set.gaussians is not None
    assert torch.equal(distilled_set.rows(indices), distilled_set.gaussians[expected])
    assert distilled_set.decode(indices).shape == (len(expected), 1, 12, 10)


@pytest.mark.parametrize(
    "indices",
    [6, -1, [0, 6], [-1], [2**63], range(4, 8), range(-2, 1), torch.tensor([10**12]), 1.0, [0.5], [True], "1", [[0]],
     [None], slice("a", None), slice(0, 2, 0), {"a": 1}],
)  # fmt: skip
def test_indices_that_cannot_be(indices: Any) -> None:
    with pytest.raises(InputError) as caught:
        some_set().decode(indices)
    assert "\n" not in str(caught.value)


def test_a_range_of_rows_is_a_view() -> None:
    distilled_set = some_set()
    assert distilled_set.gaussians is not None
    assert distilled_set.rows(slice(2, 4)).data_ptr() == distilled_set.gaussians[2].data_ptr()


# Decoding


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(12, 10), (24, 20), (5, 33), (1, 1)])
def test_decoding_is_the_specification(channels: int, size: tuple[int, int]) -> None:
    distilled_set = some_set(channels=channels)
    # Worst seen: 5.0e-5; the specification allows 1e-3.
    torch.testing.assert_close(
        distilled_set.decode(height=size[0], width=size[1]).double(),
        expected_images(distilled_set, *size),
        atol=1e-3,
        rtol=0,
    )


def test_factors_are_measured_in_the_native_size() -> None:
    """At twice the size the picture is the same, only finer; measured in the output's pixels it would shrink."""
    distilled_set = some_set()
    assert distilled_set.gaussians is not None
    native = distilled_set.decode()
    halved = torch.nn.functional.avg_pool2d(distilled_set.decode(height=24, width=20), 2)
    wrong = torch.nn.functional.avg_pool2d(reference.splat(distilled_set.gaussians.float(), 24, 20), 2)
    # Seen: 0.0096, from the finer prefilter; 0.096 if the native size were left out.
    assert (halved - native).abs().mean() < 0.03
    assert (wrong - native).abs().mean() > 0.06


def test_normalised() -> None:
    distilled_set = some_set(channels=3, mean=[0.1, 0.2, 0.3], std=[0.5, 1.0, 2.0])
    mean = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    std = torch.tensor([0.5, 1.0, 2.0]).view(1, 3, 1, 1)
    # Worst seen: 0.
    torch.testing.assert_close(
        distilled_set.decode(normalize=True), (distilled_set.decode() - mean) / std, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("make", [lambda: some_set(channels=3), pixel_set], ids=["gaussians", "pixels"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_dtype_and_layout(make: Any, dtype: torch.dtype, channels_last: bool) -> None:
    distilled_set = make()
    images = distilled_set.decode([0, 4], dtype=dtype, channels_last=channels_last, normalize=True)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert images.dtype == dtype
    assert images.is_contiguous(memory_format=layout)
    # Worst seen: 0, 6.1e-4, 6.2e-3: rounding, at values up to 3.2.
    atol = {torch.float32: 1e-6, torch.float16: 1.5e-3, torch.bfloat16: 1.2e-2}[dtype]
    torch.testing.assert_close(
        images.float(), distilled_set.decode([0, 4], normalize=True), atol=atol, rtol=0, check_stride=False
    )


def test_pixels_at_their_size_and_another() -> None:
    distilled_set = pixel_set()
    assert distilled_set.pixels is not None
    assert torch.equal(distilled_set.decode(), distilled_set.pixels.float())
    flat = torch.full((1, 1, 12, 10), 0.5, dtype=torch.bfloat16)
    even = DistilledSet(None, torch.tensor([0]), 12, 10, pixels=flat)
    # Worst seen: 3e-8, from weights that sum to 1 but for rounding.
    torch.testing.assert_close(even.decode(height=5, width=31), torch.full((1, 1, 5, 31), 0.5), atol=1e-6, rtol=0)


def test_pixels_at_half_the_size_decode_to_the_native_one(tmp_path: Path) -> None:
    small = pixel_set()
    half = DistilledSet(None, small.labels, 24, 20, pixels=small.pixels, mean=small.mean, std=small.std)
    half.save(tmp_path / "half.safetensors")
    loaded = DistilledSet.load(tmp_path / "half.safetensors")
    images = loaded.decode()
    assert images.shape == (6, 3, 24, 20)
    assert torch.equal(images, small.decode(height=24, width=20))
    # Bilinear: three quarters of the nearest pixel and a quarter of the next, along each side.
    expected = loaded.rows()[:, :, 5, 4].float() * 9 / 16 + loaded.rows()[:, :, 4, 3].float() / 16
    expected += (loaded.rows()[:, :, 4, 4].float() + loaded.rows()[:, :, 5, 3].float()) * 3 / 16
    torch.testing.assert_close(images[:, :, 10, 8], expected, atol=1e-6, rtol=0)
    assert loaded.nbytes == small.nbytes
    assert description(loaded)["downscale"] == 2
    assert description(small)["downscale"] == 1


def test_half_size_pixels_are_coded_and_measured_as_they_decode() -> None:
    small = pixel_set()
    half = DistilledSet(None, small.labels, 24, 20, pixels=small.pixels, mean=small.mean, std=small.std)
    coded = compress(half, pixel_bits=3)
    assert coded.distilled_set.decode().shape == (6, 3, 24, 20)
    errors = (coded.distilled_set.decode() - half.decode()).square().mean(dim=(1, 2, 3))
    assert coded.psnr == pytest.approx(float((-10 * errors.log10()).mean()), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"height": 0}, "height must be 1 to 16384"),
        ({"width": 16385}, "width must be 1 to 16384"),
        ({"width": 2.5}, "width must be 1 to 16384"),
        ({"dtype": torch.float64}, "not float64"),
        ({"dtype": torch.int32}, "not int32"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        some_set().decode(**options)


def test_normalising_without_a_mean_is_refused() -> None:
    with pytest.raises(InputError, match="no mean and std"):
        some_set(mean=None, std=None).decode(normalize=True)


def test_a_result_larger_than_the_machine_is_refused() -> None:
    with pytest.raises(InputError, match="decode fewer at once"):
        some_set(images=3000).decode(height=16384, width=16384)


# Real images


def test_real_images_are_normalised_as_the_set_says() -> None:
    real = torch.rand(5, 1, 3, 3)
    # Worst seen: 0.
    torch.testing.assert_close(some_set().prepare(real), (real - 0.25) / 0.5, atol=1e-6, rtol=0)
    with pytest.raises(InputError, match="no mean and std"):
        some_set(mean=None, std=None).prepare(real)
