"""The formula written densely in PyTorch, every Gaussian at every sample, under torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.bench.points import Workload
from gsdd_runtime.splatting.gaussians import (
    ALPHA_LIMIT,
    ALPHA_THRESHOLD,
    CHOLESKY,
    CHOLESKY_BIAS,
    COLOR,
    DEFAULT_SUPERSAMPLE,
    OPACITY,
    PIXEL_VARIANCE,
    POSITION,
)
from gsdd_runtime.wording import counted

# Gaussians times samples of one batch: its largest intermediate takes a quarter of these in float32.
_BATCH_SAMPLES = 1 << 26


def dense(gaussians: Tensor, side: int) -> Tensor:
    """The render specification for a square image of its native size.

    Of the ways to write it this compiled to the fastest code: samples unrolled, so that exponentials, threshold and
    mean fuse into one loop, then one matrix product per image.
    """
    gaussians = gaussians.float()
    center = (gaussians[..., POSITION] + 1) * (side / 2)
    l11, l21, l22 = gaussians[..., CHOLESKY].unbind(-1)
    a, b, c = l11 + CHOLESKY_BIAS, l21, l22 + CHOLESKY_BIAS
    xx = a * a + PIXEL_VARIANCE
    determinant = a * a * c * c + PIXEL_VARIANCE * (a * a + b * b + c * c + PIXEL_VARIANCE)
    slope, along, across = (value[..., None, None] for value in (a * b / xx, 1 / xx, xx / determinant))
    opacity = gaussians[..., OPACITY, None, None]
    pixels = torch.arange(side, device=gaussians.device)
    total = torch.zeros((), device=gaussians.device)
    for t in range(DEFAULT_SUPERSAMPLE):
        for s in range(DEFAULT_SUPERSAMPLE):
            dx = (pixels + (s + 0.5) / DEFAULT_SUPERSAMPLE - center[..., 0, None])[:, :, None, :]
            dy = (pixels + (t + 0.5) / DEFAULT_SUPERSAMPLE - center[..., 1, None])[:, :, :, None]
            alpha = opacity * torch.exp(-0.5 * (along * dx * dx + across * (dy - slope * dx) ** 2))
            total = total + torch.where(alpha >= ALPHA_THRESHOLD, alpha.clamp(max=ALPHA_LIMIT), 0.0)
    alphas = (total / DEFAULT_SUPERSAMPLE**2).flatten(2)
    images = torch.bmm(gaussians[..., COLOR].transpose(1, 2), alphas)
    return images.view(gaussians.shape[0], -1, side, side)


class Dense:
    name = "dense formula, torch.compile"

    def __init__(self, workload: Workload) -> None:
        point = workload.point
        samples = point.count * (point.side * DEFAULT_SUPERSAMPLE) ** 2
        self.images = max(1, min(point.batch, _BATCH_SAMPLES // samples))
        self.bytes_per_image = float(point.bytes_per_image)
        self.note = "" if self.images == point.batch else f"{counted(self.images, 'image')} at once: memory"
        self._gaussians = workload.gaussians
        self._indices = workload.indices[: self.images]
        self._side = point.side
        self._compiled = torch.compile(dense, fullgraph=True, dynamic=False)

    def decode(self) -> Tensor:
        result: Tensor = self._compiled(self._gaussians[self._indices], self._side)
        return result
