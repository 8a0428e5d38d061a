"""Gaussians that are trained aware of how they will be coded, and steered to a budget of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.representations import steering
from gsdd_runtime.distillation.representations.gaussian import GaussianRepresentation
from gsdd_runtime.distillation.representations.representation import Representation, Room, Storage
from gsdd_runtime.distillation.representations.rounding import round_to_steps
from gsdd_runtime.distillation.storage import (
    BITS_PER_GAUSSIAN,
    HEADER_BYTES,
    coded_bits,
    coded_budget,
    gaussian_images,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding.coded import encode_images
from gsdd_runtime.sets.coding.steps import Steps, estimated_bits
from gsdd_runtime.sets.compression import DEFAULT_SCALE, SHARES, coarsened
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.wording import counted

# Twice as coarse steps take about so many bits less a Gaussian: seven parameters, of which one is half settled.
_BITS_AN_OCTAVE = 6.5
# Below so many a Gaussian is hardly more than a blot where it must be.
_LEAST_BITS = 8
# The scales that the steps stay within.
_SCALES = (DEFAULT_SCALE / 8, DEFAULT_SCALE * 8)


class CodedGaussianRepresentation(GaussianRepresentation):
    """Gaussians that are drawn as coding will leave them.

    The steps follow the budget: every now and then the images are coded, and the steps' scale is moved towards what
    would fill it; seldom once they are near it.

    Args:
        gaussians, height, width, boundary_weight: as of :class:`GaussianRepresentation`.
        budget: bytes of the coded images and labels.
        rate_weight: of a penalty on the bits that a Gaussian takes, per bit.
    """

    # Coding looks at all images.
    divisible: ClassVar[bool] = False

    @dataclass(frozen=True)
    class Options(GaussianRepresentation.Options):
        rate_weight: float = option(0.0, "Of a penalty on the bits of a coded Gaussian, per bit.")
        gaussians: int | None = option(None, "Gaussians of a coded image.", least=1, shown="by the budget")

    @classmethod
    def plan(cls, room: Room, options: Any) -> Storage:
        held = int(coded_bits(room.data, room.ipc) / BITS_PER_GAUSSIAN[room.data.channels])
        gpc = gaussian_images(room.data, held, room.ipc, room.most) if room.gpc is None else room.gpc
        if held < gpc:
            raise InputError(
                f"the storage of {counted(room.ipc, 'float32 image')} per class holds "
                f"{counted(held, 'coded Gaussian')}, fewer than one for each of {counted(gpc, 'image')}: "
                "lower gpc, or raise ipc"
            )
        count = held // gpc if options.gaussians is None else options.gaussians
        bits = coded_bits(room.data, room.ipc) / (gpc * count)
        if bits < _LEAST_BITS:
            raise InputError(
                f"the storage of {counted(room.ipc, 'float32 image')} per class leaves {bits:.1f} bits for each of "
                f"{counted(gpc * count, 'coded Gaussian')}, which need {_LEAST_BITS} at least: "
                "lower gaussians or gpc, or raise ipc"
            )
        return Storage(gpc, {"gaussians_per_image": count})

    @classmethod
    def _of(cls, gaussians: Tensor, room: Room, options: Any) -> Representation:
        return cls(
            gaussians, room.data.height, room.data.width, budget=coded_budget(room.data, room.ipc) - HEADER_BYTES,
            boundary_weight=options.boundary_weight, rate_weight=options.rate_weight,
        )  # fmt: skip

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
        # Scale of the steps, moves until the next look at the bytes, and how many there are between two.
        self._state = torch.tensor([DEFAULT_SCALE, steering.INTERVAL, steering.INTERVAL])
        super().__init__(gaussians, height, width, boundary_weight=boundary_weight)

    @property
    def steps(self) -> Steps:
        """The steps as they are now."""
        return SHARES.scaled(float(self._state[0]))

    def buffers(self) -> dict[str, Tensor]:
        return {"coding": self._state}

    def _stored(self, masters: Tensor) -> Tensor:
        return round_to_steps(masters, self.height, self.width, self.steps)

    def penalty(self) -> Tensor | None:
        boundary = super().penalty()
        if self._rate_weight == 0:
            return boundary
        rate = self._rate_weight * estimated_bits(self.masters, self.height, self.width, self.steps).mean()
        return rate if boundary is None else rate + boundary

    def constrain(self) -> None:
        super().constrain()
        self._state[1] -= 1
        if self._state[1] <= 0:
            self._look()

    def _look(self) -> None:
        """Codes the images, and moves the steps' scale towards what would fill the budget."""
        taken = encode_images(self.masters.detach().cpu(), None, self.height, self.width, self.steps).data.numel()
        count = len(self) * self._masters["position"].shape[1]
        self._state[0] = (self._state[0] * steering.coarser(taken, self._budget, count, _BITS_AN_OCTAVE)).clamp(
            *_SCALES
        )
        finest = bool(self._state[0] <= _SCALES[0])
        self._state[1] = self._state[2] = steering.until_next(float(self._state[2]), taken, self._budget, finest=finest)

    @property
    def nbytes(self) -> int:
        return self._budget

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        exact = self.masters.detach().cpu()
        return coarsened(self.plain_set(labels, **metadata), exact, self.steps, self._budget)
