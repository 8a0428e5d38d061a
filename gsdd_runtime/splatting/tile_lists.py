"""The Gaussians of each tile, by gsplat, kept from one drawing to the next while no Gaussian leaves the box it had.

A step of training moves Gaussians by parts of a pixel, and sorting them into tiles again costs most of the tiled path.
So boxes are listed with a margin, and lists serve until some Gaussian's box of now is no longer inside its listed one:
moved, turned or grown, it may then touch a tile that does not list it. One that is listed and touches nothing adds
nothing, so that images do not depend on which lists they were drawn from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from gsdd_runtime.splatting.gaussians import ALPHA_THRESHOLD, CHOLESKY, CHOLESKY_BIAS, OPACITY, PIXEL_VARIANCE, POSITION

TILE = 32
# Pixels of the output that a listed box is larger by on each side: a quarter of a tile.
MARGIN = 8
# Batches whose lists are kept at once.
_KEPT = 16


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
    return _listed(*boxes(gaussians, height, width, native_size), height, width)


def _listed(centers: Tensor, half: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    import gsplat

    batch = centers.shape[0]
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    # Sorted by depth in a tile: so that sums go in the Gaussians' order, as the direct kernel's.
    depths = torch.arange(centers.shape[1], dtype=torch.float32, device=centers.device).expand(centers.shape[:2])
    _, keys, ids = gsplat.isect_tiles(centers, half, depths.contiguous(), TILE, tiles_x, tiles_y)
    if ids.numel() == 0:
        return ids.new_zeros(batch * tiles_y * tiles_x), ids
    offsets = gsplat.isect_offset_encode(keys, batch, tiles_x, tiles_y)
    return offsets.flatten().int(), ids.int()


@dataclass(frozen=True)
class _Lists:
    centers: Tensor
    half: Tensor
    size: tuple[int, int, int, int]
    lists: tuple[Tensor, Tensor]

    def hold(self, centers: Tensor, half: Tensor, size: tuple[int, int, int, int]) -> bool:
        """Whether all boxes lie inside the listed ones. The host waits for the device to say so."""
        if self.size != size or self.centers.shape != centers.shape or self.centers.device != centers.device:
            return False
        inside = (centers - self.centers).abs() + half <= self.half
        return bool((inside.all(dim=-1) | (half == 0).any(dim=-1)).all())


class KeptLists:
    """Tile lists of batches that are drawn again and again.

    Attributes:
        made: how often lists were made by gsplat.
        used: how often lists that were there served.
    """

    def __init__(self, margin: int = MARGIN) -> None:
        self._margin = margin
        self._lists: OrderedDict[Hashable, _Lists] = OrderedDict()
        self.made = self.used = 0

    @torch.no_grad()
    def tile_lists(
        self, gaussians: Tensor, height: int, width: int, native_size: tuple[int, int], batch: Hashable = None
    ) -> tuple[Tensor, Tensor]:
        """As :func:`tile_lists`, or those of before where they hold.

        Args:
            batch: tells batches that take turns apart. Of two under one name the lists are right all the same, and made
                anew each time.
        """
        size = (height, width, *native_size)
        centers, half = boxes(gaussians, height, width, native_size)
        kept = self._lists.get(batch)
        if kept is not None and kept.hold(centers, half, size):
            self.used += 1
            self._lists.move_to_end(batch)
            return kept.lists
        wide = torch.where(half > 0, half + self._margin, half)
        self._lists[batch] = made = _Lists(centers, wide, size, _listed(centers, wide, height, width))
        self._lists.move_to_end(batch)
        if len(self._lists) > _KEPT:
            self._lists.popitem(last=False)
        self.made += 1
        return made.lists
