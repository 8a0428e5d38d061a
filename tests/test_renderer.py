"""What draws Gaussians while a set is distilled: chosen by name, told, never replaced; gsplat's tiles on the CPU."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import cuda_host
import pytest
import torch
from easy_data import easy_data
from gpu_machine import simulate
from refusals import check_refused
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime.distillation import plan
from gsdd_runtime.distillation.options import resolve
from gsdd_runtime.distillation.planning import _renderer
from gsdd_runtime.distillation.representations import gaussian
from gsdd_runtime.distillation.representations.gaussian import GaussianRepresentation
from gsdd_runtime.splatting import op, tile_lists, tiles
from gsdd_runtime.splatting.gaussians import initial_gaussians
from gsdd_runtime.splatting.renderers import COUNTED, Costs

SMALL = {"network": "convnet1-w4", "iterations": 1, "fit_steps": 1, "batch_real": 2, "gpc": 2, "device": "cpu"}


@pytest.mark.parametrize(("renderer", "method"), [("auto", None), ("direct", "direct")])
def test_the_choice_reaches_every_drawing_of_a_run_and_its_record(
    renderer: str, method: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(*arguments: Any, **named: Any) -> Tensor:
        seen.append(named["method"])
        return op.splat(*arguments, **named)

    monkeypatch.setattr(gaussian, "splat", watched)
    distilled = gsdd.distill(easy_data(), renderer=renderer, **SMALL)
    assert len(seen) >= 2
    assert set(seen) == {method}
    assert distilled.options["renderer"] == renderer


def test_a_plan_says_what_draws() -> None:
    assert plan(easy_data(), **SMALL).as_dict()["renderer"] == "the CPU kernel"
    assert plan(easy_data(), representation="pixels", **{**SMALL, "gpc": 1, "fit_steps": None}).renderer is None


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this checkout's table was measured on."""
    monkeypatch.setattr(tiles, "costs", lambda: Costs(COUNTED, 1.26e-11, 3.1e-9, 1.5e-4))


def told(renderer: str, monkeypatch: pytest.MonkeyPatch, problem: str | None = None, side: int = 32) -> str | None:
    """As a plan on a CUDA device says it."""
    monkeypatch.delenv(tiles.VARIABLE, raising=False)
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: problem)
    storage = SimpleNamespace(facts={"gaussians_per_image": 22})
    room = SimpleNamespace(data=SimpleNamespace(height=side, width=side))
    options = SimpleNamespace(storage=storage, room=room, device="cuda:0", renderer=renderer)
    return _renderer(options, None, SimpleNamespace(images=30))


def test_on_a_gpu_the_plan_says_which_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        told("auto", monkeypatch)
        == "the direct kernel (1 tile an image, 660 pairs of tile and Gaussian; counted, not measured)"
    )
    assert told("direct", monkeypatch) == "the direct kernel (asked for)"
    assert told("gsplat", monkeypatch) == "gsplat's tiles (asked for)"
    assert told("auto", monkeypatch, side=8192).startswith("gsplat's tiles (65536 tiles")
    assert told("auto", monkeypatch, "no gsplat here", side=8192) == "the direct kernel (no gsplat here)"


def test_gsplat_is_refused_where_it_cannot_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    check_refused(lambda: plan(easy_data(), renderer="gsplat", **SMALL), "on a CUDA device", "leave it at auto")
    check_refused(lambda: plan(easy_data(), renderer="opengl", **SMALL), "renderer", "auto", "gsplat")
    pixels = {**SMALL, "representation": "pixels", "gpc": 1, "fit_steps": None}
    check_refused(lambda: plan(easy_data(), renderer="gsplat", **pixels), "draws Gaussians", "pixels")
    simulate(monkeypatch, architectures="90-real")
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: "gsplat is not there: install it")
    check_refused(
        lambda: resolve({**SMALL, "device": "cuda", "renderer": "gsplat"}, easy_data()), "gsplat is not there"
    )
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: None)
    resolved = resolve({**SMALL, "device": "cuda", "renderer": "gsplat"}, easy_data())
    assert resolved.as_dict()["renderer"] == "gsplat"


class OnCuda(Tensor):
    """A tensor of the CPU that says it is on a CUDA device."""

    is_cuda = True  # type: ignore[assignment]


def test_a_method_that_is_named_goes_before_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tiles.VARIABLE, raising=False)
    monkeypatch.setattr(tiles, "gsplat_problem", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    by_tiles = object()
    monkeypatch.setattr(tiles, "splat_tiled", lambda *_: by_tiles)
    small = initial_gaussians(1, 5, 3, 32, 32, torch.Generator().manual_seed(0)).as_subclass(OnCuda)
    assert op.splat(small, 32, 32, method="tiled") is by_tiles
    assert op.splat(small, 32, 32) is not by_tiles
    monkeypatch.setenv(tiles.VARIABLE, "tiled")
    assert op.splat(small, 32, 32) is by_tiles
    assert op.splat(small, 32, 32, method="direct") is not by_tiles


@pytest.mark.skipif(cuda_host.missing() is not None, reason=str(cuda_host.missing()))
def test_by_gsplats_tiles_a_step_has_the_images_and_the_gradients_of_the_direct_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gsplat's PyTorch twins make the lists, the CUDA kernel's source on the CPU draws from them."""
    gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install 'gsdd-rt[gsplat]'")
    twins = importlib.import_module("gsplat.cuda._torch_impl")
    monkeypatch.setattr(gsplat, "isect_tiles", twins._isect_tiles)
    monkeypatch.setattr(gsplat, "isect_offset_encode", twins._isect_offset_encode)

    def draw(gaussians: Tensor, height: int, width: int, *rest: Any) -> Tensor:
        lists = tile_lists.tile_lists(gaussians, height, width, (rest[0], rest[1]))
        return cuda_host.render(gaussians.detach(), height, width, (rest[0], rest[1]), rest[2], tiles=lists)

    monkeypatch.setattr(tiles._TiledSplat, "draw", staticmethod(draw))
    seen = []

    def renders(masters: Tensor, height: int, width: int, *, method: str | None) -> Tensor:
        seen.append(method)
        if method == "tiled":
            return tiles.splat_tiled(masters, height, width, height, width, 2, None, None, None, False)
        return op.splat(masters, height, width)

    monkeypatch.setattr(gaussian, "splat", renders)
    results = []
    for renderer in ("direct", "gsplat"):
        start = initial_gaussians(2, 12, 3, 48, 40, torch.Generator().manual_seed(1))
        representation = GaussianRepresentation(start, 48, 40)
        representation.renderer = renderer
        images = representation.render()
        images.square().sum().backward()
        results.append((images.detach(), [part.grad for part in representation.parameters().values()]))
    assert seen == ["direct", "tiled"]
    assert (results[0][0] - results[1][0]).abs().max() < 1e-4
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        assert torch.linalg.vector_norm(ours - theirs) < 1e-3 * torch.linalg.vector_norm(ours)
