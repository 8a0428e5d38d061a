"""``fn.gsdd.gaussian_splat`` beyond the doors' table: uneven batches, dtypes, layouts, threads, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from awkward import ordinary
from dali_pipelines import run_operator

from gsdd_runtime import reference
from gsdd_runtime.decoders import dali_operator
from gsdd_runtime.errors import GsddError, LibraryNotBuiltError

SIDES = {"height": 20, "width": 24, "native_height": 20, "native_width": 24}


def expected(gaussians: np.ndarray) -> torch.Tensor:
    return reference.splat(torch.from_numpy(gaussians)[None].double(), 20, 24)[0]


@pytest.mark.dali
@pytest.mark.parametrize("threads", [1, 3])
def test_samples_may_differ_in_count_and_channels(threads: int) -> None:
    counts = [(7, 3), (7, 3), (0, 3), (1, 1), (40, 4), (40, 4), (7, 3)]
    samples = [ordinary(1, n, c, 20, seed)[0].numpy() for seed, (n, c) in enumerate(counts)]
    images = run_operator(samples, threads=threads, **SIDES)
    assert images.shape() == [(channels, 20, 24) for _, channels in counts]
    for index, sample in enumerate(samples):
        assert (torch.from_numpy(np.array(images.at(index))) - expected(sample)).abs().max() < 1e-3


@pytest.mark.dali
def test_more_samples_than_a_part_are_drawn_by_several_threads_to_the_same_bits() -> None:
    gaussians = ordinary(64, 20, 3, 20, 1).numpy()
    one, four = (run_operator(gaussians, threads=threads, **SIDES).as_array() for threads in (1, 4))
    assert np.array_equal(one, four)


@pytest.mark.dali
def test_half_precision_and_channels_last() -> None:
    from nvidia.dali import types

    gaussians = ordinary(3, 12, 3, 20, 2).half().numpy()
    images = run_operator(gaussians, dtype=types.FLOAT16, channels_last=True, **SIDES)
    assert images.layout() == "HWC"
    assert images.dtype == types.FLOAT16
    for index, sample in enumerate(gaussians):
        drawn = torch.from_numpy(np.array(images.at(index))).permute(2, 0, 1)
        assert (drawn - expected(sample)).abs().max() < 4e-3


@pytest.mark.dali
def test_supersample_reaches_the_kernel() -> None:
    gaussians = ordinary(2, 12, 3, 20, 3)
    drawn = torch.from_numpy(np.array(run_operator(gaussians.numpy(), supersample=1, **SIDES).as_array()))
    assert (drawn - reference.splat(gaussians.double(), 20, 24, supersample=1)).abs().max() < 1e-3
    assert (drawn - reference.splat(gaussians.double(), 20, 24)).abs().max() > 1e-3


GOOD = np.zeros((2, 3, 9), np.float32)


@pytest.mark.dali
@pytest.mark.parametrize(
    ("samples", "arguments", "said"),
    [
        (GOOD, {"height": 0}, "height must be 1 to 16384, got 0"),
        (GOOD, {"width": 20_000}, "width must be 1 to 16384, got 20000"),
        (GOOD, {"native_height": -5}, "native_height must be 1 to"),
        (GOOD, {"native_width": 0}, "native_width must be 1 to"),
        (GOOD, {"supersample": 9}, "supersample must be 1 to 8, got 9"),
        (GOOD, {"dtype": "INT32"}, "dtype must be FLOAT or FLOAT16"),
        (GOOD.astype(np.float64), {}, "gaussians must be FLOAT or FLOAT16"),
        (GOOD.astype(np.int32), {}, "gaussians must be FLOAT or FLOAT16"),
        (GOOD[..., :6].copy(), {}, "1 to 4 channels, got 6 in sample 0"),
        (np.zeros((2, 3, 11), np.float32), {}, "1 to 4 channels, got 11"),
        (np.zeros((2, 0, 0), np.float32), {}, "1 to 4 channels, got 0"),
        (np.zeros((2, 9), np.float32), {}, "a sample of gaussians must be .count, 6 . channels., got 1 dim"),
        (np.zeros((2, 3, 4, 9), np.float32), {}, "got 3 dim"),
        ([GOOD[0], GOOD[0, :, :2].copy()], {}, "got 2 in sample 1"),
    ],
)  # fmt: skip
def test_what_is_no_batch_of_gaussians_is_an_error(samples: np.ndarray, arguments: dict, said: str) -> None:
    from nvidia.dali import types

    if "dtype" in arguments:
        arguments = {"dtype": getattr(types, arguments["dtype"])}
    with pytest.raises(ValueError, match=said):
        run_operator(samples, **{**SIDES, **arguments})


def library(folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "libgsdd_dali.so").write_bytes(content)
    monkeypatch.setenv("GSDD_PLUGIN_DIR", str(folder))
    monkeypatch.setattr(dali_operator, "dali_problem", lambda: None)
    dali_operator.load_operator.cache_clear()


def test_a_file_that_is_no_library_of_ours_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library(tmp_path, b"\x7fELF and no more", monkeypatch)
    with pytest.raises(LibraryNotBuiltError, match=r"no library of ours for DALI.*make dali build"):
        dali_operator.load_operator()


@pytest.mark.dali
def test_a_library_of_another_version_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library(tmp_path, b"\0GSDD_DALI_VERSION=1.2.3\0", monkeypatch)
    with pytest.raises(LibraryNotBuiltError, match=r"built for DALI 1\.2\.3, and this is \d.*nvidia-dali-cuda130==1"):
        dali_operator.load_operator()


def test_without_dali_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dali_operator, "find_spec", lambda name: None)
    dali_operator.load_operator.cache_clear()
    with pytest.raises(GsddError, match=r"DALI is not installed.*make dali"):
        dali_operator.load_operator()
