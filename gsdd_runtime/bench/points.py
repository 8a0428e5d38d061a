"""What is measured: sizes of images and numbers of Gaussians, and the images and parameters at each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gsdd_runtime.bench.images import RealImages
from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, MAX_SIDE, parameters_per_gaussian

# Output values of one batch: 24 MB of float32, more than a core's caches hold.
_BATCH_VALUES = 6 << 20
_LARGEST_BATCH = 512


@dataclass(frozen=True)
class Point:
    """``count`` Gaussians an image, ``side`` by ``side`` pixels, ``channels`` colour channels."""

    count: int
    side: int
    channels: int = 3

    def __post_init__(self) -> None:
        if self.count < 1 or not 1 <= self.side <= MAX_SIDE or not 1 <= self.channels <= MAX_CHANNELS:
            raise InputError(
                f"{self.name} is no point to measure: give at least 1 Gaussian, 1 to {MAX_SIDE} pixels, "
                f"1 to {MAX_CHANNELS} channels"
            )

    @property
    def name(self) -> str:
        return f"{self.count} at {self.side}x{self.side}x{self.channels}"

    @property
    def bytes_per_image(self) -> int:
        """Of the stored parameters, in bfloat16."""
        return self.count * parameters_per_gaussian(self.channels) * 2

    @property
    def batch(self) -> int:
        """Images decoded at once: a power of two, a training batch where images are small."""
        fitting = max(1, _BATCH_VALUES // (self.side**2 * self.channels))
        return min(_LARGEST_BATCH, 1 << int(math.log2(fitting)))


DEFAULT_POINTS = (
    Point(22, 32),
    Point(85, 32),
    Point(54, 128),
    Point(170, 128),
    Point(364, 256),
    Point(28, 28, 1),
)


@dataclass(frozen=True)
class Workload:
    """One point with its parameters: ``gaussians`` bfloat16 ``[M, N, P]``, and the images they were fitted to.

    ``images`` are uint8 ``[M, C, H, W]``, or None where the parameters are random.
    """

    point: Point
    gaussians: Tensor
    images: Tensor | None = None

    @property
    def parameters(self) -> str:
        return "random" if self.images is None else "fitted"

    @property
    def real_images(self) -> Tensor:
        if self.images is None:
            raise ValueError("random parameters were fitted to no image")
        return self.images

    @cached_property
    def indices(self) -> Tensor:
        """Which images a batch decodes: all, in a mixed order, as often as it takes to fill the batch."""
        generator = torch.Generator().manual_seed(0)
        stored = torch.arange(self.point.batch) % len(self.gaussians)
        return stored[torch.randperm(self.point.batch, generator=generator)]


def random_workload(point: Point, images: int, seed: int) -> Workload:
    """Gaussians all over the canvas, a few pixels wide, turned every way."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images, point.count)

    def uniform(low: float, high: float, size: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, size, generator=generator)

    spread = point.side / math.sqrt(point.count) / 2
    parts = [
        uniform(-1, 1, 2), uniform(0.3, 1, 1) * spread, uniform(-1, 1, 1) * spread, uniform(0.3, 1, 1) * spread,
        uniform(-1, 1, point.channels), uniform(0.3, 1.1, 1),
    ]  # fmt: skip
    return Workload(point, torch.cat(parts, dim=-1).bfloat16())


def fitted_workload(
    point: Point, source: RealImages, images: int, steps: int, seed: int, device: str = "cpu"
) -> Workload:
    """Gaussians fitted to real images, as distilling begins."""
    from gsdd_runtime.distillation.fit import fit_images

    real = source.at(point.side, point.channels, images)
    fitted = fit_images(real, point.count, steps=steps, seed=seed, device=device)
    return Workload(point, fitted.gaussians.cpu().bfloat16(), real)
