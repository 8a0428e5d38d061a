"""Large CUDA images of many Gaussians: gsplat's tile intersection, our accumulation.

The direct kernel looks at every Gaussian of an image for every tile of 32 x 32 pixels; that is all there is to do
for a distilled image, and a loss where tiles and Gaussians are many. There gsplat lists the Gaussians of each tile
(``isect_tiles``, ``isect_offset_encode``), and the same kernel adds those up. gsplat reads one number back from the
device and allocates, so this path is not for CUDA graphs and not for ``torch.compile``; :func:`gsdd_runtime.splat`
takes the direct kernel there. gsplat is an extra: without it the direct kernel serves everything.
"""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.derivatives import Rendering, render
from gsdd_runtime.splatting.gaussians import ALPHA_THRESHOLD, CHOLESKY, CHOLESKY_BIAS, OPACITY, PIXEL_VARIANCE, POSITION
from gsdd_runtime.splatting.gsplat_backend import gsplat_problem
from gsdd_runtime.splatting.levels import under_transform
from gsdd_runtime.splatting.renderers import costs
from gsdd_runtime.wording import counted

Method = Literal["auto", "direct", "tiled"]
METHODS: tuple[Method, ...] = ("auto", "direct", "tiled")
# What a run of training may ask for, and the method that it is.
RENDERERS: dict[str, Method | None] = {"auto": None, "direct": "direct", "gsplat": "tiled"}
# Forces a method for the process; an argument comes before it.
VARIABLE = "GSDD_CUDA_METHOD"

TILE = 32


class Choice(NamedTuple):
    method: Method
    reason: str


def choose(batch: int, count: int, height: int, width: int, method: Method | None = None) -> Choice:
    """Which of the two CUDA paths draws such a batch, and why. ``"auto"`` follows the table of ``renderers.py``.

    Args:
        batch, count: images, and Gaussians in each.
        height, width: of the output, pixels.
        method: forces one; None asks the environment variable ``GSDD_CUDA_METHOD``, and without it is ``"auto"``.

    Raises:
        InputError: an unknown method, or ``"tiled"`` where gsplat or its numbers do not reach.
    """
    wanted = method or os.environ.get(VARIABLE) or "auto"
    if wanted not in METHODS:
        raise InputError(f"no CUDA method {wanted!r}: choose one of {', '.join(METHODS)} ({VARIABLE})")
    if wanted == "direct":
        return Choice("direct", "asked for")
    tiles = -(-height // TILE) * -(-width // TILE)
    table = costs()
    size = f"{counted(tiles, 'tile')} an image, {batch * tiles * count} pairs of tile and Gaussian; {table.source}"
    if wanted == "auto" and table.tiles_gain(batch, count, tiles) <= 0:
        return Choice("direct", size)
    # gsplat packs image and tile into 32 bits, and numbers Gaussians with 32.
    fits = batch.bit_length() + tiles.bit_length() <= 32 and batch * count < 2**31
    problem = (
        gsplat_problem()
        if fits
        else f"{counted(batch, 'image')} of {tiles} tiles and {counted(count, 'Gaussian')} would be too many"
    )
    if problem is None:
        return Choice("tiled", "asked for" if wanted == "tiled" else size)
    if wanted == "tiled":
        raise InputError(f"the tiled CUDA method was asked for, but {problem}")
    return Choice("direct", problem)


def boxes(gaussians: Tensor, height: int, width: int, native_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres and half sizes, in pixels, of the part of the image that each Gaussian may touch.

    Args:
        gaussians: ``[B, N, 6 + C]``, any device.
        height, width: of the output, pixels.
        native_size: height and width that the factors are measured in.

    Returns:
        float32 ``[B, N, 2]`` and int32 ``[B, N, 2]``, x first; half sizes are 0 where nothing is drawn.
    """
    numbers = gaussians.detach().double()
    size = numbers.new_tensor([width, height])
    scale = size / numbers.new_tensor([native_size[1], native_size[0]])
    center = (numbers[..., POSITION] + 1) / 2 * size
    l11, l21, l22 = numbers[..., CHOLESKY].unbind(-1)
    a, b, c = scale[0] * (l11 + CHOLESKY_BIAS), scale[1] * l21, scale[1] * (l22 + CHOLESKY_BIAS)
    variance = torch.stack([a * a + PIXEL_VARIANCE, b * b + c * c + PIXEL_VARIANCE], dim=-1)
    opacity = numbers[..., OPACITY, None]
    reach = (variance * 2 * (opacity / ALPHA_THRESHOLD).log()).sqrt()
    low = (center - reach).maximum(torch.zeros_like(size))
    high = (center + reach).minimum(size)
    # NaN compares false, so what is not finite is not drawn.
    drawn = torch.isfinite(numbers).all(dim=-1, keepdim=True) & (opacity > ALPHA_THRESHOLD)
    drawn = drawn & (low <= high).all(dim=-1, keepdim=True)
    # A pixel more on each side, for what float32 rounds.
    half = torch.where(drawn, (high - low) / 2 + 2, 0.0).ceil().int()
    return torch.where(drawn, (low + high) / 2, 0.0).float(), half


def tile_lists(gaussians: Tensor, height: int, width: int, native_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What ``torch.ops.gsdd.splat_tiles`` takes: offsets ``[B * tiles]`` and ids, int32, by gsplat."""
    import gsplat

    batch = gaussians.shape[0]
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    centers, half = boxes(gaussians, height, width, native_size)
    depths = centers.new_zeros(centers.shape[:2])
    _, keys, ids = gsplat.isect_tiles(centers, half, depths, TILE, tiles_x, tiles_y)
    if ids.numel() == 0:
        return ids.new_zeros(batch * tiles_y * tiles_x), ids
    offsets = gsplat.isect_offset_encode(keys, batch, tiles_x, tiles_y)
    return offsets.flatten().int(), ids.int()


class _TiledSplat(Rendering):
    # The gradient gathers over each Gaussian's own footprint: tiles are of no use to it.
    @staticmethod
    def draw(*arguments: Any) -> Tensor:
        gaussians, height, width, *rest = arguments
        offsets, ids = tile_lists(gaussians, height, width, (rest[0], rest[1]))
        return cast(Tensor, torch.ops.gsdd.splat_tiles(gaussians, offsets, ids, height, width, *rest))

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        Rendering.keep(ctx, arguments)
        return _TiledSplat.draw(*arguments)


def splat_tiled(gaussians: Tensor, *arguments: Any) -> Tensor:
    """The arguments and the result of ``torch.ops.gsdd.splat``, for CUDA tensors, by gsplat's tiles."""
    return render(_TiledSplat, gaussians, *arguments)


def pays_here(gaussians: Tensor, height: int, width: int, method: Method | None = None) -> bool:
    """Whether :func:`gsdd_runtime.splat` goes by tiles for these CUDA tensors, here and now.

    ``method`` forces one, as of :func:`choose`; not under a transform, a compiler or a capture, which tiles wait in.
    """
    if torch.compiler.is_compiling() or under_transform() or torch.cuda.is_current_stream_capturing():
        return False
    return choose(gaussians.shape[0], gaussians.shape[1], height, width, method).method == "tiled"
