"""What benchmarks/cuda_bench.py measures: our two paths, and what one would use instead, each on the current GPU.

In a rehearsal the CPU stands in for it: nothing is captured in a graph, and nothing is compiled.

A subject's ``forward`` turns bfloat16 parameters on the device into float32 images; ``both`` also takes a given image
gradient back to the parameters.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from cuda_bench import OURS, TILED
from cuda_timing import DEVICE
from torch import Tensor

from gsdd_runtime.bench.peers.dense import dense
from gsdd_runtime.bench.peers.siren import evaluate, hidden_width
from gsdd_runtime.splatting.gaussians import CHOLESKY, CHOLESKY_BIAS, COLOR, OPACITY, PIXEL_VARIANCE, POSITION
from gsdd_runtime.splatting.op import splat
from gsdd_runtime.splatting.tile_lists import boxes
from gsdd_runtime.splatting.tiles import splat_tiled
from gsdd_runtime.wording import counted

# Gaussians times samples that the dense formula holds at once, in float32 a quarter of the GPU's smallest sizes.
_DENSE_SAMPLES = 1 << 29
COMPILER = "inductor" if DEVICE == "cuda" else "eager"


@dataclass(frozen=True)
class Subject:
    name: str
    images: int
    forward: Callable[[], Tensor]
    both: Callable[[], object] | None = None
    note: str = ""


@dataclass(frozen=True)
class Case:
    """``gaussians`` bfloat16 ``[B, N, 9]`` and ``grad_images`` float32 ``[B, 3, side, side]``, on the GPU."""

    gaussians: Tensor
    side: int
    grad_images: Tensor


def _with_backward(case: Case, parameters: Tensor, render: Callable[[Tensor], Tensor]) -> Callable[[], object]:
    leaf = parameters.detach().requires_grad_()
    grad_images = case.grad_images[: leaf.shape[0]]

    def both() -> object:
        return torch.autograd.grad(render(leaf), leaf, grad_images)

    return both


def direct(case: Case) -> Subject:
    def render(gaussians: Tensor) -> Tensor:
        images: Tensor = torch.ops.gsdd.splat(gaussians, case.side, case.side, case.side, case.side)
        return images

    return Subject(
        OURS, len(case.gaussians), lambda: render(case.gaussians),
        _with_backward(case, case.gaussians, render),
    )  # fmt: skip


def direct_graph(case: Case) -> Subject:
    """The direct kernel as a training loop captures it: bfloat16 images, channels last, normalised."""
    mean = torch.full((3,), 0.45, device=DEVICE)
    std = torch.full((3,), 0.25, device=DEVICE)

    def render() -> Tensor:
        return splat(case.gaussians, case.side, case.side, dtype=torch.bfloat16, channels_last=True, mean=mean, std=std)

    name = "gsdd, direct, finished bfloat16 in a CUDA graph"
    if DEVICE == "cpu":
        return Subject(name, len(case.gaussians), render)
    side_stream = torch.cuda.Stream()
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        render()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        images = render()

    def replay() -> Tensor:
        graph.replay()
        return images

    return Subject(name, len(case.gaussians), replay)


def tiled(case: Case) -> Subject:
    def render(gaussians: Tensor) -> Tensor:
        side = case.side
        return splat_tiled(gaussians, side, side, side, side, 2, None, None, None, False)

    return Subject(
        TILED, len(case.gaussians), lambda: render(case.gaussians),
        _with_backward(case, case.gaussians, render),
    )  # fmt: skip


def _projected(gaussians: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Centres and conics (inverse covariances, xx, xy, yy) in pixels, differentiable."""
    numbers = gaussians.float()
    center = (numbers[..., POSITION] + 1) * (side / 2)
    l11, l21, l22 = numbers[..., CHOLESKY].unbind(-1)
    a, c = l11 + CHOLESKY_BIAS, l22 + CHOLESKY_BIAS
    xx, xy = a * a + PIXEL_VARIANCE, a * l21
    yy = l21 * l21 + c * c + PIXEL_VARIANCE
    determinant = xx * yy - xy * xy
    return center, torch.stack([yy / determinant, -xy / determinant, xx / determinant], dim=-1)


def gsplat_rasterizer(case: Case) -> Subject:
    """gsplat's own: it composites with transmittance, so its images differ; one sample a pixel."""
    import gsplat

    tiles = -(-case.side // 16)

    def render(gaussians: Tensor) -> Tensor:
        center, conics = _projected(gaussians, case.side)
        _, half = boxes(gaussians, case.side, case.side, (case.side, case.side))
        depths = center.detach().new_zeros(center.shape[:2])
        _, keys, ids = gsplat.isect_tiles(center.detach(), half, depths, 16, tiles, tiles)
        offsets = gsplat.isect_offset_encode(keys, len(gaussians), tiles, tiles)
        numbers = gaussians.float()
        images, _ = gsplat.rasterize_to_pixels(
            center, conics, numbers[..., COLOR].contiguous(), numbers[..., OPACITY].contiguous(),
            case.side, case.side, 16, offsets, ids,
        )  # fmt: skip
        return images.permute(0, 3, 1, 2)

    return Subject(
        "gsplat's rasteriser", len(case.gaussians), lambda: render(case.gaussians),
        _with_backward(case, case.gaussians, render), "another image: it composites; one sample a pixel",
    )  # fmt: skip


def dense_compiled(case: Case) -> Subject:
    count = case.gaussians.shape[1]
    images = max(1, min(len(case.gaussians), _DENSE_SAMPLES // (count * (2 * case.side) ** 2)))
    some = case.gaussians[:images].float()
    compiled = torch.compile(dense, fullgraph=True, dynamic=False, backend=COMPILER)

    def render(gaussians: Tensor) -> Tensor:
        result: Tensor = compiled(gaussians, case.side)
        return result

    note = "" if images == len(case.gaussians) else f"{counted(images, 'image')} at once: memory"
    return Subject(
        "dense formula, torch.compile", images, lambda: render(some), _with_backward(case, some, render), note
    )


def siren(case: Case) -> Subject:
    numbers = case.gaussians.shape[1] * case.gaussians.shape[2]
    width = hidden_width(numbers, 3)
    images = max(1, min(len(case.gaussians), (1 << 29) // (width * case.side**2)))
    shapes = [(width, 2), (width, width), (3, width)]
    weights = [torch.randn(images, *s, device=DEVICE).div(30 * s[1] ** 0.5).bfloat16() for s in shapes]
    biases = [torch.zeros(images, s[0], device=DEVICE, dtype=torch.bfloat16) for s in shapes]
    line = (torch.arange(case.side, device=DEVICE) + 0.5) / case.side * 2 - 1
    coordinates = torch.cartesian_prod(line, line)
    compiled = torch.compile(evaluate, fullgraph=True, dynamic=False, backend=COMPILER)
    grad = case.grad_images[:images].flatten(2)
    leaves = [value.detach().requires_grad_() for value in (*weights, *biases)]

    def both() -> object:
        return torch.autograd.grad(compiled(coordinates, leaves[:3], leaves[3:]), leaves, grad)

    def forward() -> Tensor:
        result: Tensor = compiled(coordinates, weights, biases)
        return result

    return Subject("SIREN of equal parameters, torch.compile", images, forward, both, f"hidden layers of {width}")


def import_authors(folder: Path) -> ModuleType:
    """The GSDD authors' package (j-cyoung/gsplat), built in ``folder``, beside the installed gsplat.

    Both are called ``gsplat``: the authors' is imported alone, its lazy functions bound to its own extension, and
    the name given back.
    """
    names = [name for name in sys.modules if name == "gsplat" or name.startswith("gsplat.")]
    stashed = {name: sys.modules.pop(name) for name in names}
    sys.path.insert(0, str(folder))
    try:
        package = importlib.import_module("gsplat")
        cuda = importlib.import_module("gsplat.cuda")
        extension = importlib.import_module("gsplat.cuda._backend")._C
        if extension is None or not hasattr(package, "rasterize_gaussians_sum_batch"):
            raise ImportError(f"{folder} holds no built j-cyoung/gsplat")
        for name in list(vars(cuda)):
            if hasattr(extension, name):
                setattr(cuda, name, getattr(extension, name))
        return package
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name == "gsplat" or name.startswith("gsplat.")]:
            del sys.modules[name]
        sys.modules.update(stashed)


def authors(case: Case, package: Any) -> Subject:
    """The GSDD authors' batched operator, with its prefilter and its 2 x 2 samples."""
    batch, count, _ = case.gaussians.shape
    tiles = -(-case.side // 16)
    background = torch.zeros(batch, 3, device=DEVICE)
    bias = torch.tensor([CHOLESKY_BIAS, 0.0, CHOLESKY_BIAS], device=DEVICE)

    def render(gaussians: Tensor) -> Tensor:
        numbers = gaussians.float().flatten(0, 1)
        projected = package.project_gaussians_2d_batch(
            batch, count, numbers[:, POSITION], numbers[:, CHOLESKY] + bias, case.side, case.side, (tiles, tiles, 1)
        )
        images = package.rasterize_gaussians_sum_batch(
            batch, count, *projected, numbers[:, COLOR], numbers[:, OPACITY, None], case.side, case.side, 16, 16,
            background=background, return_alpha=False,
        )  # fmt: skip
        result: Tensor = images.permute(0, 3, 1, 2)
        return result

    return Subject(
        "GSDD authors' operator", batch, lambda: render(case.gaussians),
        _with_backward(case, case.gaussians, render), "culls at 3 sigma, draws the first 256 Gaussians of a tile",
    )  # fmt: skip
