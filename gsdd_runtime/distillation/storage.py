"""How many images, of how many Gaussians, the storage of a run holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.gaussians import parameters_per_gaussian, storage_budget
from gsdd_runtime.wording import counted

CODINGS = ("none", "entropy")

# A budget is counted in float32 images; a pixel image of bfloat16 takes half of one.
PIXEL_IMAGES_PER_FLOAT32_IMAGE = 2
_FLOAT32_BITS = 32

# What coding takes by its default steps, measured on distilled sets (docs/coding.md): bits of a Gaussian by its
# channels, and of a pixel and channel by the bits it is rounded to.
BITS_PER_GAUSSIAN = {1: 24.0, 2: 29.0, 3: 34.0, 4: 39.0}
SHARE_OF_PIXEL_BITS = 0.6
# Kept for the file's header.
HEADER_BYTES = 2048


@dataclass(frozen=True)
class Storage:
    """What fills the budget.

    Attributes:
        gpc: images per class.
        gaussians_per_image: 0 for pixels.
    """

    gpc: int
    gaussians_per_image: int


def plan_storage(
    data: RealData,
    *,
    representation: str,
    coding: str,
    pixel_bits: int,
    downscale: int = 1,
    ipc: int,
    gpc: int | None,
    most: int | None,
) -> Storage:
    """The images that the storage of ``ipc`` float32 pixel images per class is filled with.

    An image gets about ``0.7 * side * ipc^(1/3)`` Gaussians where ``gpc`` is left open, ``side`` the geometric mean of
    height and width, which lies among the paper's own settings (22 and 42 at 32 pixels for IPC 1 and 10, 54 and 170 at
    128 for IPC 1). Pixels: ``2 * ipc`` images, as bfloat16 halves an image, ``downscale^2`` times as many where they
    are smaller. Coded images are counted by the bits that they were measured to take.

    Args:
        data: for the size of its images.
        representation: ``"gaussians"`` or ``"pixels"``.
        coding: ``"none"`` or ``"entropy"``.
        pixel_bits: of a coded pixel.
        downscale: whole factor that pixels are stored smaller by, along each side.
        ipc: the storage.
        gpc: images per class, or None.
        most: images per class that a default goes up to; None for no such bound.

    Raises:
        InputError: the storage does not hold ``gpc`` images; sides that are no multiple of ``downscale``.
    """
    numbers = data.height * data.width * data.channels
    budget = numbers * ipc * _FLOAT32_BITS
    if coding == "entropy":
        budget = max(0, budget - 8 * HEADER_BYTES // data.classes)
    if representation == "pixels":
        if data.height % downscale or data.width % downscale:
            raise InputError(f"images of {data.height}x{data.width} cannot be downscaled by {downscale} a side")
        bits = (
            SHARE_OF_PIXEL_BITS * pixel_bits if coding == "entropy" else _FLOAT32_BITS / PIXEL_IMAGES_PER_FLOAT32_IMAGE
        )
        room = int(budget / (numbers // downscale**2 * bits))
        if coding == "none":
            _check_pixels(ipc, gpc, room)
        return Storage(gpc if gpc is not None else _bounded(room, most), 0)
    if coding == "none":
        held = data.height * data.width * data.channels * ipc * 2 // parameters_per_gaussian(data.channels)
    else:
        held = int(budget / BITS_PER_GAUSSIAN[data.channels])
    if gpc is None:
        wanted = max(1.0, 0.7 * math.sqrt(data.height * data.width) * ipc ** (1 / 3))
        gpc = _bounded(int(held / wanted), most)
    if coding == "none":
        return Storage(gpc, storage_budget(data.height, data.width, data.channels, ipc, gpc))
    if held < gpc:
        raise InputError(
            f"the storage of {counted(ipc, 'float32 image')} per class holds {counted(held, 'coded Gaussian')}, "
            f"fewer than one for each of {counted(gpc, 'image')}: lower gpc, or raise ipc"
        )
    return Storage(gpc, held // gpc)


def coded_budget(data: RealData, ipc: int) -> int:
    """Bytes that a coded set may take, its file's header and all."""
    return data.height * data.width * data.channels * ipc * _FLOAT32_BITS // 8 * data.classes


def _bounded(room: int, most: int | None) -> int:
    return max(1, room if most is None else min(room, most))


def _check_pixels(ipc: int, gpc: int | None, room: int) -> None:
    if gpc is not None and gpc > room:
        raise InputError(
            f"the storage of {counted(ipc, 'float32 image')} per class holds {counted(room, 'image')} of "
            f"bfloat16 pixels, not {gpc}: lower gpc, or raise ipc"
        )
