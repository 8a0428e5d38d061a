"""The one table of awkward inputs: every renderer is held to the float64 reference on all of it.

Each case is a function without arguments that makes the same :class:`Inputs` every time it is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

DATA = Path(__file__).parent / "data"


class Inputs(NamedTuple):
    """What a renderer is called with; ``gaussians`` are float32 ``[B, N, 6 + C]``, not always contiguous."""

    gaussians: Tensor
    height: int
    width: int
    native_size: tuple[int, int] | None = None
    supersample: int = 2


CASES: dict[str, Callable[[], Inputs]] = {}


def case(name: str) -> Callable[[Callable[[], Inputs]], Callable[[], Inputs]]:
    def register(make: Callable[[], Inputs]) -> Callable[[], Inputs]:
        if name in CASES:
            raise ValueError(f"two cases are called {name}")
        CASES[name] = make
        return make

    return register


def ordinary(batch: int, count: int, channels: int, side: float, seed: int) -> Tensor:
    """Gaussians such as a fit makes: inside the canvas, a few pixels wide, rotated, opacity about 1."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, count, *shape, generator=generator)

    spread = side / math.sqrt(max(count, 1)) / 2
    return torch.cat(
        [
            uniform(-1.0, 1.0, 2),
            uniform(0.2, 1.0, 1) * spread,
            uniform(-1.0, 1.0, 1) * spread,
            uniform(0.2, 1.0, 1) * spread,
            uniform(-1.0, 1.0, channels),
            uniform(0.3, 1.2, 1),
        ],
        dim=-1,
    )


@case("no-gaussians")
def _() -> Inputs:
    return Inputs(torch.empty(2, 0, 9), 9, 11)


@case("no-images")
def _() -> Inputs:
    return Inputs(torch.empty(0, 5, 9), 8, 8)


@case("one-gaussian")
def _() -> Inputs:
    return Inputs(ordinary(3, 1, 3, 16, 1), 16, 16)


@case("off-canvas")
def _() -> Inputs:
    gaussians = ordinary(2, 40, 3, 24, 2)
    gaussians[:, ::2, :2] *= 3.0
    gaussians[:, 1, :2] = torch.tensor([-1e6, 1e6])
    gaussians[:, 3, :2] = torch.tensor([1.0, -1.0])
    return Inputs(gaussians, 24, 24)


@case("far-off-canvas")
def _() -> Inputs:
    gaussians = ordinary(2, 12, 3, 16, 3)
    gaussians[:, ::3, 0] = 1e30
    gaussians[:, 1::3, 1] = -3e38
    return Inputs(gaussians, 16, 16)


def needles(side: int, length: float, seed: int) -> Tensor:
    """Thin across (``l11 + 0.5`` about 0) and long along every direction from steep to flat."""
    gaussians = ordinary(2, 48, 3, side, seed)
    across = torch.linspace(-1e-3, 1e-3, 48)
    gaussians[..., 2] = across - 0.5
    gaussians[..., 3] = torch.linspace(-length, length, 48)
    gaussians[..., 4] = across.flip(0) - 0.5
    # Flat and tilted needles: the long axis is in the first column of the factor.
    gaussians[:, ::3, 2] = torch.linspace(0.3, 1.0, 16) * length
    gaussians[:, 1::3, 3] = 0.0
    gaussians[:, 1::3, 4] = torch.linspace(0.3, 1.0, 16) * length
    return gaussians


@case("needles")
def _() -> Inputs:
    return Inputs(needles(32, 12.0, 4), 32, 32)


@case("long-needles")
def _() -> Inputs:
    return Inputs(needles(96, 60.0, 5), 96, 96)


@case("giants")
def _() -> Inputs:
    gaussians = ordinary(2, 12, 3, 20, 5)
    gaussians[..., 2:5] *= torch.tensor([10.0, 100.0, 1e3, 1e4]).repeat(3)[:, None]
    gaussians[..., 5:8] *= 0.3
    return Inputs(gaussians, 20, 24)


@case("enormous")
def _() -> Inputs:
    # Squared twice, these leave the range of float32: a renderer must form the covariance in something wider.
    gaussians = ordinary(2, 8, 3, 16, 6)
    gaussians[..., 2:5] *= torch.tensor([1e10, 1e15, 1e20, 1e30]).repeat(2)[:, None]
    gaussians[..., 5:8] *= 0.3
    return Inputs(gaussians, 16, 16)


@case("opacity-range")
def _() -> Inputs:
    threshold = 1 / 255
    opacity = [-3.0, -1e-3, 0.0, 1e-30, 0.9 * threshold, 1.1 * threshold]
    opacity += [0.01, 0.5, 0.999, 1.0, 1.001, 2.0, 9.0, 300.0]
    gaussians = ordinary(3, len(opacity), 3, 20, 7)
    gaussians[..., -1] = torch.tensor(opacity)
    return Inputs(gaussians, 20, 20)


@case("not-finite")
def _() -> Inputs:
    gaussians = ordinary(2, 30, 3, 16, 8)
    for index, value in enumerate((float("nan"), float("inf"), float("-inf"))):
        for parameter in range(9):
            gaussians[:, index * 9 + parameter, parameter] = value
    return Inputs(gaussians, 16, 16)


@case("one-pixel")
def _() -> Inputs:
    return Inputs(ordinary(4, 10, 3, 2, 9), 1, 1)


@case("one-row")
def _() -> Inputs:
    return Inputs(ordinary(2, 10, 3, 12, 10), 1, 37)


@case("one-column")
def _() -> Inputs:
    return Inputs(ordinary(2, 10, 3, 12, 11), 37, 1)


@case("odd-size")
def _() -> Inputs:
    return Inputs(ordinary(2, 10, 3, 10, 12), 7, 13)


# Both sides of every vector length in use, and all of their remainders.
for _width in (*range(2, 13), *range(14, 20), 21, 23, 24, 25, 29, 31, 32, 33, 38, 39, 40):

    @case(f"width-{_width}")
    def _(width: int = _width) -> Inputs:
        return Inputs(ordinary(2, 9, 3, width, 100 + width), 9, width)


for _channels in (1, 2, 4):

    @case(f"channels-{_channels}")
    def _(channels: int = _channels) -> Inputs:
        return Inputs(ordinary(3, 20, channels, 28, 20 + channels), 28, 28)


@case("larger-output")
def _() -> Inputs:
    return Inputs(ordinary(2, 20, 3, 16, 30), 48, 48, (16, 16))


@case("smaller-output")
def _() -> Inputs:
    return Inputs(ordinary(2, 20, 3, 64, 31), 12, 12, (64, 64))


@case("stretched-output")
def _() -> Inputs:
    return Inputs(ordinary(2, 20, 3, 24, 32), 20, 45, (30, 24))


for _samples in (1, 3, 8):

    @case(f"supersample-{_samples}")
    def _(samples: int = _samples) -> Inputs:
        return Inputs(ordinary(2, 16, 3, 18, 40 + samples), 18, 19, None, samples)


@case("strided")
def _() -> Inputs:
    # Every second Gaussian of every second image, parameters in reverse storage order.
    wide = ordinary(6, 24, 3, 20, 50)
    stored = torch.empty(9, 24, 6)
    strided = stored.permute(2, 1, 0)
    strided.copy_(wide)
    return Inputs(strided[::2, ::2], 20, 20)


@case("bfloat16-values")
def _() -> Inputs:
    return Inputs(ordinary(3, 24, 3, 32, 51).bfloat16().float(), 32, 32)


@case("float16-values")
def _() -> Inputs:
    return Inputs(ordinary(3, 24, 3, 32, 52).half().float(), 32, 32)


@case("many-gaussians")
def _() -> Inputs:
    # Small in the output, so that most pixels stay clear of samples at the threshold.
    gaussians = ordinary(1, 100_000, 3, 400, 53)
    gaussians[..., 5:8] *= 0.1
    return Inputs(gaussians, 8, 8, (400, 400), 1)


@case("many-images")
def _() -> Inputs:
    return Inputs(ordinary(100_000, 2, 1, 3, 54), 3, 2, None, 1)


@case("wide-image")
def _() -> Inputs:
    return Inputs(ordinary(1, 30, 1, 60, 55), 3, 2100, (64, 64))


for _fitted, _side in (("fitted-gray-28", 28), ("fitted-color-32", 32), ("fitted-color-64", 64)):

    @case(_fitted)
    def _(name: str = _fitted, side: int = _side) -> Inputs:
        return Inputs(load_file(DATA / f"{name}.safetensors")["gaussians"].float(), side, side)
