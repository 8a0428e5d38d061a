"""Images that are trained aware of how they will be coded, and steered to a budget of bytes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.representations.gaussian import GaussianRepresentation
from gsdd_runtime.distillation.representations.pixel import PixelRepresentation
from gsdd_runtime.distillation.representations.rounding import round_to_levels, round_to_steps
from gsdd_runtime.sets.coding.coded import encode_images
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.coding.steps import Steps, estimated_bits
from gsdd_runtime.sets.compression import DEFAULT_SCALE, SHARES, coarsened, encoded
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.op import splat

# Steps of the optimiser between two looks at the bytes.
_INTERVAL = 25
# Twice as coarse steps take about so many bits less a Gaussian: seven parameters, of which one is half settled.
_BITS_AN_OCTAVE = 6.5
# How far a look moves towards the budget, and the scales that it stays within.
_GAIN = 0.5
_SCALES = (DEFAULT_SCALE / 8, DEFAULT_SCALE * 8)


class CodedGaussianRepresentation(GaussianRepresentation):
    """Gaussians that are drawn as coding will leave them.

    The steps follow the budget: every few steps of the optimiser the images are coded, and the steps' scale is moved
    towards what would fill it.

    Args:
        gaussians, height, width, boundary_weight: as of :class:`GaussianRepresentation`.
        budget: bytes of the coded images and labels.
        rate_weight: of a penalty on the bits that a Gaussian takes, per bit.
    """

    def __init__(
        self,
        gaussians: Tensor,
        height: int,
        width: int,
        *,
        budget: int,
        boundary_weight: float = 0.1,
        rate_weight: float = 0.0,
    ) -> None:
        self._budget = budget
        self._rate_weight = rate_weight
        # Scale of the steps, and how often the masters were moved.
        self._state = torch.tensor([DEFAULT_SCALE, 0.0])
        super().__init__(gaussians, height, width, boundary_weight=boundary_weight)

    @property
    def steps(self) -> Steps:
        """The steps as they are now."""
        return SHARES.scaled(float(self._state[0]))

    def buffers(self) -> dict[str, Tensor]:
        return {"coding": self._state}

    def render(self, indices: Tensor | None = None) -> Tensor:
        masters = self.masters if indices is None else self.masters.index_select(0, indices)
        return splat(round_to_steps(masters, self.height, self.width, self.steps), self.height, self.width)

    def penalty(self) -> Tensor | None:
        boundary = super().penalty()
        if self._rate_weight == 0:
            return boundary
        rate = self._rate_weight * estimated_bits(self.masters, self.height, self.width, self.steps).mean()
        return rate if boundary is None else rate + boundary

    def constrain(self) -> None:
        super().constrain()
        self._state[1] += 1
        if int(self._state[1]) % _INTERVAL == 0:
            taken = encode_images(self.masters.detach().cpu(), None, self.height, self.width, self.steps).data.numel()
            count = len(self) * self._masters["position"].shape[1]
            octaves = _GAIN * 8 * (taken - self._budget) / count / _BITS_AN_OCTAVE
            self._state[0] = (self._state[0] * 2.0 ** min(max(octaves, -1.0), 1.0)).clamp(*_SCALES)

    @property
    def nbytes(self) -> int:
        return self._budget

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        exact = self.masters.detach().cpu()
        return coarsened(self.plain_set(labels, **metadata), exact, self.steps, self._budget)


class CodedPixelRepresentation(PixelRepresentation):
    """Pixels that are drawn as coding by a few bits will leave them; their levels follow their range.

    Args:
        pixels, downscale: as of :class:`PixelRepresentation`.
        bits: of a pixel.
    """

    def __init__(self, pixels: Tensor, *, bits: int, downscale: int = 1) -> None:
        super().__init__(pixels, downscale=downscale)
        self._bits = bits
        self._state = torch.zeros(3)
        self._fit()

    def _fit(self) -> None:
        fitted = PixelSteps.fitted(self._pixels.detach(), self._bits)
        self._state[0], self._state[1] = fitted.low, fitted.step

    @property
    def steps(self) -> PixelSteps:
        """The levels as they are now."""
        return PixelSteps(self._bits, float(self._state[0]), float(self._state[1]))

    def buffers(self) -> dict[str, Tensor]:
        return {"coding": self._state}

    def _stored(self, pixels: Tensor) -> Tensor:
        return round_to_levels(pixels, self.steps)

    def constrain(self) -> None:
        super().constrain()
        self._state[2] += 1
        if int(self._state[2]) % _INTERVAL == 0:
            self._fit()

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        plain = self.plain_set(labels, **metadata)
        return plain.with_coded(encoded(plain, self._pixels.detach().cpu(), self.steps))
