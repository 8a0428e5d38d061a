"""The gsplat-backed path: its boxes and its rule on the CPU, its images where there is a GPU and gsplat."""

from __future__ import annotations

import importlib

import cuda_host
import pytest
import torch
from awkward import CASES, ordinary
from oracle import oracle
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime import reference
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting import tile_lists, tiles
from gsdd_runtime.splatting.renderers import COUNTED, Costs


def lists_by_gsplat(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensor, Tensor]:
    """``tile_lists.tile_lists`` on the CPU, where gsplat's own PyTorch twins take the place of its CUDA functions."""
    gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install 'gsdd-rt[gsplat]'")
    twins = importlib.import_module("gsplat.cuda._torch_impl")
    monkeypatch.setattr(gsplat, "isect_tiles", twins._isect_tiles)
    monkeypatch.setattr(gsplat, "isect_offset_encode", twins._isect_offset_encode)
    return tile_lists.tile_lists(gaussians, height, width, native_size)


CASES_HERE = ["off-canvas", "far-off-canvas", "long-needles", "giants", "enormous", "opacity-range", "not-finite"]


# Worst measured: 1.2e-5, where one evaluation serves a pixel.
@pytest.mark.skipif(cuda_host.missing() is not None, reason=str(cuda_host.missing()))
@pytest.mark.parametrize("name", [*CASES_HERE, "larger-output", "stretched-output"])
def test_the_boxes_hold_all_that_is_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians, height, width, native_size, supersample = oracle(name).inputs
    centers, half = tile_lists.boxes(gaussians, height, width, native_size or (height, width))
    assert centers.isfinite().all()
    assert half.min() >= 0
    lists = lists_by_gsplat(gaussians, height, width, native_size or (height, width), monkeypatch)
    assert [part.dtype for part in lists] == [torch.int32, torch.int32]
    assert len(lists[0]) == len(gaussians) * -(-height // tile_lists.TILE) * -(-width // tile_lists.TILE)
    images = cuda_host.render(gaussians, height, width, native_size, supersample, tiles=lists)
    excess = (images.double() - oracle(name).images).abs() - oracle(name).flips
    assert excess.max() <= 1e-4


def test_a_batch_that_draws_nothing_has_empty_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets, ids = lists_by_gsplat(torch.zeros(2, 3, 9), 64, 40, (64, 40), monkeypatch)
    assert offsets.tolist() == [0] * 8
    assert ids.tolist() == []


def test_boxes_are_tight() -> None:
    # Round ones of deviation about 4 reach 13 pixels: 30 pixels wide boxes at most.
    gaussians = ordinary(1, 50, 3, 64, 70)
    gaussians[..., 2:5] = torch.tensor([3.5, 0.0, 3.5])
    gaussians[..., -1] = 1.0
    _, half = tile_lists.boxes(gaussians, 512, 512, (512, 512))
    assert half.max() <= 4 * 3.4 + 3


def test_small_images_go_direct_and_large_ones_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tiles.VARIABLE, raising=False)
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: None)
    monkeypatch.setattr(tiles, "costs", lambda: Costs(COUNTED, 1.26e-11, 3.1e-9, 1.5e-4))
    assert tiles.choose(2000, 54, 128, 128).method == "direct"
    assert tiles.choose(1, 1000, 1024, 1024).method == "direct"
    assert tiles.choose(1, 100_000, 1024, 1024).method == "tiled"
    assert tiles.choose(1, 100_000, 1024, 1024, "direct").method == "direct"
    assert tiles.choose(1, 5, 32, 32, "tiled").method == "tiled"
    monkeypatch.setenv(tiles.VARIABLE, "tiled")
    assert tiles.choose(1, 5, 32, 32) == ("tiled", "asked for")


def test_without_gsplat_the_direct_kernel_serves_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tiles.VARIABLE, raising=False)
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: "gsplat is not there")
    assert tiles.choose(1, 100_000, 1024, 1024) == ("direct", "gsplat is not there")
    with pytest.raises(InputError, match="asked for, but gsplat is not there"):
        tiles.choose(1, 100_000, 1024, 1024, "tiled")


def test_what_cannot_be_forced_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: None)
    with pytest.raises(InputError, match="would be too many"):
        tiles.choose(2**20, 5, 8192, 8192, "tiled")
    monkeypatch.setenv(tiles.VARIABLE, "fast")
    with pytest.raises(InputError, match="no CUDA method 'fast'"):
        tiles.choose(1, 5, 32, 32)


@pytest.mark.cuda
@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith(("no-", "width-"))])
def test_tiled_images_match_the_reference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if tiles.gsplat_problem():
        pytest.skip(str(tiles.gsplat_problem()))
    monkeypatch.setenv(tiles.VARIABLE, "tiled")
    gaussians, height, width, native_size, supersample = oracle(name).inputs
    images = gsdd.splat(gaussians.cuda(), height, width, native_size=native_size, supersample=supersample)
    excess = (images.cpu().double() - oracle(name).images).abs() - oracle(name).flips
    assert excess.max() <= 1e-3


@pytest.mark.cuda
def test_the_tiled_gradient_is_that_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    if tiles.gsplat_problem():
        pytest.skip(str(tiles.gsplat_problem()))
    monkeypatch.setenv(tiles.VARIABLE, "tiled")
    gaussians = ordinary(2, 60, 3, 64, 71).double().requires_grad_()
    grad_images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    (expected,) = torch.autograd.grad(reference.splat(gaussians, 64, 64), gaussians, grad_images)
    on_device = gaussians.detach().float().cuda().requires_grad_()
    images = gsdd.splat(on_device, 64, 64)
    (grad,) = torch.autograd.grad(images, on_device, grad_images.float().cuda())
    assert torch.linalg.vector_norm(grad.cpu() - expected) <= 1e-3 * torch.linalg.vector_norm(expected)
