"""The parameters of a Gaussian: their order, their storage, their initial values.

The layout and the constants are those of the render specification, version 1 (docs/render-spec.md); a test
holds them to plugins/splat/constants.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.wording import counted

ALPHA_THRESHOLD = 1.0 / 255.0
ALPHA_LIMIT = 1.0
CHOLESKY_BIAS = 0.5
PIXEL_VARIANCE = 1.0 / 12.0
DEFAULT_SUPERSAMPLE = 2
SHAPE_PARAMETERS = 6
MAX_SIDE = 16384
MAX_SUPERSAMPLE = 8
MAX_CHANNELS = 4
# What the kernel reads and writes.
KERNEL_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

POSITION = slice(0, 2)
CHOLESKY = slice(2, 5)
COLOR = slice(5, -1)
OPACITY = -1

# The spacing of bfloat16 just below 1: a smaller margin rounds onto the edge (render specification).
BOUNDARY_MARGIN = 4e-3
# Drawn at once where only some of them are kept.
IMAGES_AT_ONCE = 64


def parameters_per_gaussian(channels: int) -> int:
    """``P = 6 + channels``: x, y, l11, l21, l22, the colour, the opacity."""
    return SHAPE_PARAMETERS + channels


def storage_budget(height: int, width: int, channels: int, ipc: int, gpc: int) -> int:
    """Gaussians per image that ``gpc`` images may have in the storage of ``ipc`` float32 pixel images.

    ``N = floor(H * W * C * IPC * 2 / (GPC * P))``: parameters are stored in 16 bits, pixels in 32
    (GSDD, arXiv 2509.26219, section 4.1).

    Args:
        height, width, channels: of the real images.
        ipc: images per class, the storage.
        gpc: Gaussian images per class.

    Raises:
        InputError: a number below 1, or a budget that leaves no Gaussian for an image.
    """
    for name, value in (
        ("height", height), ("width", width), ("channels", channels), ("ipc", ipc), ("gpc", gpc),
    ):  # fmt: skip
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    numbers = height * width * channels * ipc * 2
    count = numbers // (gpc * parameters_per_gaussian(channels))
    if count < 1:
        most = numbers // parameters_per_gaussian(channels)
        raise InputError(
            f"the storage of {counted(ipc, 'image')} of {height}x{width}x{channels} per class does not hold one "
            f"Gaussian for each of {counted(gpc, 'image')}: lower --gpc to at most {most}, or raise --ipc"
        )
    return count


def initial_gaussians(
    images: int,
    count: int,
    channels: int,
    height: int,
    width: int,
    generator: torch.Generator,
    kept: Tensor | None = None,
) -> Tensor:
    """Fresh Gaussians, evenly wide and spread over the image at random, ``[images, count, 6 + channels]``.

    Float32. Positions are uniform; the factor is round, of the width at which ``count`` Gaussians just cover
    the image; colour is small noise; opacity is 1 for all.

    Args:
        images, count, channels, height, width: of all.
        generator: what all are drawn from.
        kept: images that are wanted, int64 ``[M]``, rising: ``[M, count, 6 + channels]``, of the same numbers as
            among all. The others are drawn a few at a time.
    """
    edge = 1.0 - 2 * BOUNDARY_MARGIN
    gaussians = torch.empty(images if kept is None else len(kept), count, parameters_per_gaussian(channels))
    _draw(gaussians, POSITION, images, kept, lambda part: part.uniform_(-edge, edge, generator=generator))
    width_in_pixels = math.sqrt(height * width / (math.pi * max(count, 1)))
    gaussians[..., CHOLESKY] = torch.tensor([width_in_pixels - CHOLESKY_BIAS, 0.0, width_in_pixels - CHOLESKY_BIAS])
    _draw(gaussians, COLOR, images, kept, lambda part: part.normal_(0.0, 0.1, generator=generator))
    gaussians[..., OPACITY] = 1.0
    return gaussians


def _draw(gaussians: Tensor, kind: slice, images: int, kept: Tensor | None, fill: Callable[[Tensor], object]) -> None:
    """Draws parameters of one kind for all images, and keeps those of ``kept``."""
    if kept is None:
        fill(gaussians[..., kind])
        return
    for first in range(0, images, IMAGES_AT_ONCE):
        # With gaps between the numbers, as among all: numbers that follow each other are drawn in another way.
        drawn = torch.empty(min(IMAGES_AT_ONCE, images - first), *gaussians.shape[1:])
        fill(drawn[..., kind])
        start, end = torch.searchsorted(kept, torch.tensor([first, first + len(drawn)])).tolist()
        gaussians[start:end, :, kind] = drawn[kept[start:end] - first][..., kind]


def check_gaussians(gaussians: Tensor) -> int:
    """Channels of a ``[batch, count, 6 + channels]`` tensor.

    Raises:
        InputError: another rank or a channel count out of 1 to 4.
    """
    check_type("gaussians", gaussians, Tensor, "a torch.Tensor", "convert it with torch.as_tensor")
    if gaussians.dim() != 3:
        raise InputError(f"gaussians must be [batch, count, 6 + channels], got shape {tuple(gaussians.shape)}")
    channels = gaussians.shape[2] - SHAPE_PARAMETERS
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(
            f"the last dimension of gaussians must be 6 + channels with 1 to {MAX_CHANNELS} channels, "
            f"got {gaussians.shape[2]}"
        )
    return channels


def check_sizes(height: int, width: int, native_size: tuple[int, int] | None, supersample: int) -> tuple[int, int]:
    """The native size, ``(height, width)`` where it is None.

    Raises:
        InputError: a side not in 1 to 16384, a native side below 1, or supersample not in 1 to 8.
    """
    native_height, native_width = native_size if native_size is not None else (height, width)
    for name, value, limit in (
        ("height", height, MAX_SIDE),
        ("width", width, MAX_SIDE),
        ("supersample", supersample, MAX_SUPERSAMPLE),
    ):
        if not 1 <= value <= limit:
            raise InputError(f"{name} must be 1 to {limit}, got {value}")
    if native_height < 1 or native_width < 1:
        raise InputError(f"native_size must be at least 1 by 1, got {native_height} by {native_width}")
    return native_height, native_width
