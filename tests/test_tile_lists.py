"""Tile lists that are kept while Gaussians move: gsplat's PyTorch twins make them, the CUDA kernel's source draws."""

from __future__ import annotations

import importlib
from typing import Any

import cuda_host
import pytest
import torch
from awkward import ordinary
from torch import Tensor

from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.distillation.representations import gaussian
from gsdd_runtime.distillation.representations.gaussian import GaussianRepresentation
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.splatting import tiles
from gsdd_runtime.splatting.gaussians import initial_gaussians
from gsdd_runtime.splatting.tile_lists import MARGIN, KeptLists

HEIGHT, WIDTH = 64, 96

pytestmark = pytest.mark.skipif(cuda_host.missing() is not None, reason=str(cuda_host.missing()))


@pytest.fixture(autouse=True)
def _twins(monkeypatch: pytest.MonkeyPatch) -> None:
    gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install 'gsdd-rt[gsplat]'")
    twins = importlib.import_module("gsplat.cuda._torch_impl")
    monkeypatch.setattr(gsplat, "isect_tiles", twins._isect_tiles)
    monkeypatch.setattr(gsplat, "isect_offset_encode", twins._isect_offset_encode)


def drawn(kept: KeptLists, gaussians: Tensor, batch: Any = None) -> Tensor:
    lists = kept.tile_lists(gaussians, HEIGHT, WIDTH, (HEIGHT, WIDTH), batch)
    return cuda_host.render(gaussians, HEIGHT, WIDTH, tiles=lists)


def small(seed: int) -> Tensor:
    gaussians = ordinary(2, 9, 3, HEIGHT, seed)
    gaussians[..., 2:5] = torch.tensor([2.0, 0.5, 1.5])
    return gaussians


def test_lists_serve_while_nothing_leaves_its_box_and_draw_the_same_bits() -> None:
    gaussians, kept = small(1), KeptLists()
    assert torch.equal(drawn(kept, gaussians), cuda_host.render(gaussians, HEIGHT, WIDTH))
    for k in (1, 3):
        moved = gaussians.clone()
        moved[..., 0] += k * 2 / WIDTH * (MARGIN - 2) / 3  # pixels to the right, less than the margin in all
        moved[:, ::2, -1] *= 0.5
        assert torch.equal(drawn(kept, moved), cuda_host.render(moved, HEIGHT, WIDTH))
    assert (kept.made, kept.used) == (1, 2)


@pytest.mark.parametrize("change", ["moves", "grows", "brightens"])
def test_one_gaussian_that_leaves_its_box_makes_them_anew(change: str) -> None:
    gaussians, kept = small(2), KeptLists()
    gaussians[1, 5] = torch.tensor([0.1, 0.1, 2.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.01])
    drawn(kept, gaussians)
    changed = gaussians.clone()
    changed[1, 5, {"moves": 0, "grows": 4, "brightens": 8}[change]] += {"moves": 0.5, "grows": 25.0, "brightens": 1e9}[
        change
    ]
    assert torch.equal(drawn(kept, changed), cuda_host.render(changed, HEIGHT, WIDTH))
    assert (kept.made, kept.used) == (2, 0)


def test_batches_that_take_turns_keep_their_own() -> None:
    kept, batches = KeptLists(), {name: small(name) for name in (3, 4)}
    for _ in range(3):
        for name, gaussians in batches.items():
            assert torch.equal(drawn(kept, gaussians, name), cuda_host.render(gaussians, HEIGHT, WIDTH))
    assert (kept.made, kept.used) == (2, 4)
    # Under one name they are right all the same.
    for gaussians in batches.values():
        assert torch.equal(drawn(kept, gaussians, 3), cuda_host.render(gaussians, HEIGHT, WIDTH))


def test_another_size_or_number_makes_them_anew_and_what_is_old_is_forgotten() -> None:
    kept = KeptLists()
    for count in (9, 8):
        drawn(kept, small(5)[:, :count])
    kept.tile_lists(small(5)[:, :8], HEIGHT, WIDTH, (HEIGHT, 2 * WIDTH))
    assert kept.made == 3
    for name in range(20):
        kept.tile_lists(small(5)[:1, :1], HEIGHT, WIDTH, (HEIGHT, WIDTH), name)
    assert len(kept._lists) == 16


def test_what_draws_nothing_is_listed_nowhere_and_leaves_nothing() -> None:
    gaussians, kept = small(6), KeptLists()
    gaussians[0, 3, -1] = 0.0
    gaussians[0, 4] = float("nan")
    drawn(kept, gaussians)
    assert torch.equal(drawn(kept, gaussians), cuda_host.render(gaussians, HEIGHT, WIDTH))
    assert (kept.made, kept.used) == (1, 1)


def test_a_step_of_training_makes_its_lists_once_for_the_images_and_for_their_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def from_lists(gaussians: Tensor, offsets: Tensor, ids: Tensor, height: int, width: int, *rest: Any) -> Tensor:
        return cuda_host.render(gaussians.detach(), height, width, rest[:2], rest[2], tiles=(offsets, ids))

    monkeypatch.setattr(tiles, "_from_lists", from_lists)
    monkeypatch.setattr(
        gaussian, "splat",
        lambda g, height, width, method: tiles.splat_tiled(g, height, width, height, width, 2, None, None, None, False),
    )  # fmt: skip
    start = initial_gaussians(4, 10, 3, HEIGHT, WIDTH, torch.Generator().manual_seed(1))
    representation = GaussianRepresentation(start, HEIGHT, WIDTH)
    plain = Preparation("a test", (3, HEIGHT, WIDTH), (0.0,) * 3, (1.0,) * 3)
    images = SyntheticImages(representation, plain)
    optimizer = torch.optim.Adam(representation.parameter_groups(1e-3))
    kept = representation._lists
    for step in range(3):
        optimizer.zero_grad()
        for indices in (torch.tensor([0, 1]), torch.tensor([2, 3])):
            images.leaf(indices).square().sum().backward()
        images.spread()
        optimizer.step()
        # Two batches; of each, the images and what is drawn again for the gradient.
        assert (kept.made, kept.used) == (2, 4 * step + 2)
    assert tiles._kept.get() is None


def test_fitting_keeps_the_lists_of_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from gsdd_runtime.distillation.engine import run_phase
    from gsdd_runtime.distillation.fit import fit_phase

    seen: list[Any] = []
    representation = GaussianRepresentation(
        initial_gaussians(3, 5, 3, 16, 16, torch.Generator().manual_seed(2)), 16, 16
    )
    monkeypatch.setattr("gsdd_runtime.distillation.fit._images_per_pass", lambda _: 2)
    draw = representation.draw

    def watched(masters: Any, batch: Any = None) -> Tensor:
        seen.append(batch)
        return draw(masters, batch)

    monkeypatch.setattr(representation, "draw", watched)
    run_phase(fit_phase(representation, torch.rand(3, 3, 16, 16), 2, 1e-3), representation)
    assert seen == [0, 1, 0, 1]
