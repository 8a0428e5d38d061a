"""Large CUDA images of many Gaussians: gsplat's tile intersection, our accumulation.

The direct kernel looks at every Gaussian of an image for every tile of 32 x 32 pixels; that is all there is to do
for a distilled image, and a loss where tiles and Gaussians are many. There gsplat lists the Gaussians of each tile
(``isect_tiles``, ``isect_offset_encode``), and the same kernel adds those up. gsplat reads one number back from the
device and allocates, so this path is not for CUDA graphs and not for ``torch.compile``; :func:`gsdd_runtime.splat`
takes the direct kernel there. gsplat is an extra: without it the direct kernel serves everything.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.derivatives import Rendering, render
from gsdd_runtime.splatting.gsplat_backend import gsplat_problem
from gsdd_runtime.splatting.levels import under_transform
from gsdd_runtime.splatting.renderers import costs
from gsdd_runtime.splatting.tile_lists import TILE, KeptLists, tile_lists
from gsdd_runtime.wording import counted

Method = Literal["auto", "direct", "tiled"]
METHODS: tuple[Method, ...] = ("auto", "direct", "tiled")
# What a run of training may ask for, and the method that it is.
RENDERERS: dict[str, Method | None] = {"auto": None, "direct": "direct", "gsplat": "tiled"}
# Forces a method for the process; an argument comes before it.
VARIABLE = "GSDD_CUDA_METHOD"


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


# The lists that drawing by tiles keeps, and the batch's name among them.
_kept: ContextVar[tuple[KeptLists, Hashable] | None] = ContextVar("kept tile lists", default=None)


@contextmanager
def keeping(lists: KeptLists, batch: Hashable = None) -> Iterator[None]:
    """What is drawn by tiles inside takes the lists of ``batch`` where they hold, and keeps those that it makes."""
    token = _kept.set((lists, batch))
    try:
        yield
    finally:
        _kept.reset(token)


def _from_lists(gaussians: Tensor, offsets: Tensor, ids: Tensor, *options: Any) -> Tensor:
    return cast(Tensor, torch.ops.gsdd.splat_tiles(gaussians, offsets, ids, *options))


class _TiledSplat(Rendering):
    # The gradient gathers over each Gaussian's own rows, exactly: a list of the tiles that they cross says less, and
    # sums by tile would have to be added up by Gaussian once more. What a step draws again for it has the lists.
    @staticmethod
    def draw(*arguments: Any) -> Tensor:
        gaussians, height, width, *rest = arguments
        kept, size = _kept.get(), (rest[0], rest[1])
        if kept is None:
            offsets, ids = tile_lists(gaussians, height, width, size)
        else:
            offsets, ids = kept[0].tile_lists(gaussians, height, width, size, kept[1])
        return _from_lists(gaussians, offsets, ids, height, width, *rest)

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
