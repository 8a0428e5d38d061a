"""The render specification, version 1, in plain PyTorch: the oracle of every test. It calls no native code.

Slow and exact: run it in float64. It works in parts, and recomputes each part in the backward pass, so that
neither pass holds more than ``_PART`` samples of every intermediate at once.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gsdd_runtime.splatting.gaussians import (
    ALPHA_LIMIT,
    ALPHA_THRESHOLD,
    CHOLESKY,
    CHOLESKY_BIAS,
    COLOR,
    OPACITY,
    PIXEL_VARIANCE,
    POSITION,
    check_gaussians,
    check_sizes,
)
from gsdd_runtime.splatting.levels import under_transform

# Samples (images x Gaussians x sample points) of one part.
_PART = 1 << 21


def splat(
    gaussians: Tensor,
    height: int,
    width: int,
    *,
    native_size: tuple[int, int] | None = None,
    supersample: int = 2,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
    mean: Tensor | None = None,
    std: Tensor | None = None,
) -> Tensor:
    """Renders a batch of Gaussian images, ``[B, N, 6 + C]`` to ``[B, C, H, W]``, by the render specification.

    Arguments and result are those of :func:`gsdd_runtime.splat`, for any floating dtype; the computation and,
    unless ``dtype`` is given, the result are in the dtype of ``gaussians``. Differentiable any number of times, in
    either mode, and under torch.func.

    Raises:
        InputError: gaussians of another shape, or a size out of range.
    """
    channels = check_gaussians(gaussians)
    batch, count, _ = gaussians.shape
    native_height, native_width = check_sizes(height, width, native_size, supersample)
    scale = gaussians.new_tensor([width / native_width, height / native_height])
    size = gaussians.new_tensor([width, height])

    points_per_row = width * supersample**2
    rows = max(1, min(height, _PART // points_per_row))
    per_part = max(1, _PART // (rows * points_per_row))
    gaussians_per_part = max(1, min(count, per_part))
    images_per_part = max(1, per_part // gaussians_per_part)

    images = []
    for image in range(0, batch, images_per_part):
        part = gaussians[image : image + images_per_part]
        bands = []
        for row in range(0, height, rows):
            row_end = min(row + rows, height)
            band = gaussians.new_zeros(part.shape[0], channels, row_end - row, width)
            for first in range(0, count, gaussians_per_part):
                some = part[:, first : first + gaussians_per_part]
                band = band + _recomputed(some, scale, size, row, row_end, width, supersample)
            bands.append(band)
        images.append(torch.cat(bands, dim=2))
    result = torch.cat(images) if images else gaussians.new_zeros(0, channels, height, width)
    if mean is not None:
        result = result - mean.to(result).view(1, -1, 1, 1)
    if std is not None:
        result = result / std.to(result).view(1, -1, 1, 1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return result.to(dtype or result.dtype).contiguous(memory_format=layout)


def _recomputed(gaussians: Tensor, *place: Any) -> Tensor:
    """:func:`_pixels`, computed again in the backward pass; torch.func has no means to do so and keeps everything."""
    if under_transform():
        return _pixels(gaussians, *place)
    return cast(Tensor, checkpoint(_pixels, gaussians, *place, use_reentrant=False))


def _pixels(
    gaussians: Tensor, scale: Tensor, size: Tensor, row: int, row_end: int, columns: int, supersample: int
) -> Tensor:
    """The pixels of rows ``row .. row_end``: ``[B, C, rows, columns]``."""
    alpha = sample_alphas(
        gaussians, scale, size, row * supersample, row_end * supersample, columns * supersample, supersample
    )
    alpha = alpha.view(*alpha.shape[:2], row_end - row, supersample, columns, supersample).mean(dim=(3, 5))
    drawn = torch.isfinite(gaussians).all(dim=-1, keepdim=True)
    color = torch.where(drawn, gaussians[..., COLOR], torch.zeros_like(gaussians[..., COLOR]))
    return torch.einsum("bnyx,bnc->bcyx", alpha, color)


def sample_alphas(
    gaussians: Tensor, scale: Tensor, size: Tensor, row: int, row_end: int, columns: int, supersample: int,
    *, clipped: bool = True,
) -> Tensor:  # fmt: skip
    """Alphas at rows ``row .. row_end`` of the sample points, ``[B, N, rows, columns]``.

    With ``clipped=False``, ``o * exp(-sigma)`` as it is.
    """
    drawn = torch.isfinite(gaussians).all(dim=-1, keepdim=True)
    gaussians = torch.where(drawn, gaussians, torch.zeros_like(gaussians))
    center = (gaussians[..., POSITION] + 1) / 2 * size
    l11, l21, l22 = gaussians[..., CHOLESKY].unbind(-1)
    a = scale[0] * (l11 + CHOLESKY_BIAS)
    b = scale[1] * l21
    c = scale[1] * (l22 + CHOLESKY_BIAS)
    xx = a * a + PIXEL_VARIANCE
    xy = a * b
    # det(L L^T + v I), expanded: positive terms only, so that needles keep their digits.
    determinant = a * a * c * c + PIXEL_VARIANCE * (a * a + b * b + c * c + PIXEL_VARIANCE)
    points_y = (torch.arange(row, row_end, device=gaussians.device).to(gaussians.dtype) + 0.5) / supersample
    points_x = (torch.arange(columns, device=gaussians.device).to(gaussians.dtype) + 0.5) / supersample
    dx = (points_x - center[..., 0, None])[:, :, None, :]
    dy = (points_y - center[..., 1, None])[:, :, :, None]
    # sigma as a sum of two squares: along a long needle the expanded form cancels.
    slope, along, across = (value[..., None, None] for value in (xy / xx, 1 / xx, xx / determinant))
    sigma = 0.5 * (along * dx**2 + across * (dy - slope * dx) ** 2)
    alpha = gaussians[..., OPACITY, None, None] * torch.exp(-sigma)
    if not clipped:
        return alpha
    return torch.where(alpha >= ALPHA_THRESHOLD, alpha.clamp(max=ALPHA_LIMIT), torch.zeros_like(alpha))
