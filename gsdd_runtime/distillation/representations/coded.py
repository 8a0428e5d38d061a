"""Images that are trained aware of how they will be coded, and steered to a budget of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.representations.gaussian import GaussianRepresentation
from gsdd_runtime.distillation.representations.pixel import PixelRepresentation, check_downscale
from gsdd_runtime.distillation.representations.pixel_rate import bits_of_pixels, images_that_fit
from gsdd_runtime.distillation.representations.representation import Representation, Room, Storage
from gsdd_runtime.distillation.representations.rounding import round_to_levels, round_to_steps
from gsdd_runtime.distillation.storage import (
    BITS_PER_GAUSSIAN,
    HEADER_BYTES,
    bounded,
    coded_bits,
    coded_budget,
    gaussian_images,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding.coded import encode_images
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.coding.steps import Steps, estimated_bits
from gsdd_runtime.sets.compression import DEFAULT_PIXEL_BITS, DEFAULT_SCALE, SHARES, coarsened, encoded
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.wording import counted

# Moves of the optimiser between two looks at the bytes: so many at first, and twice as many after each that found them
# within a share of the budget.
_INTERVAL, _LONGEST_INTERVAL = 25, 400
_NEAR = 0.01
# Twice as coarse steps take about so many bits less a Gaussian: seven parameters, of which one is half settled.
_BITS_AN_OCTAVE = 6.5
# Below so many a Gaussian is hardly more than a blot where it must be.
_LEAST_BITS = 8
# How far a look moves towards the budget, and the scales that it stays within.
_GAIN = 0.5
_SCALES = (DEFAULT_SCALE / 8, DEFAULT_SCALE * 8)
# Levels of pixels twice as far apart take about so many bits less a pixel; how much further apart they may come, and
# by how much at a time in the end.
_PIXEL_BITS_AN_OCTAVE = 0.7
_WIDEST, _WIDENING = 4.0, 2.0 ** (1 / 16)
# Of few levels, which then are hardly any; and how many bits are few.
_WIDEST_OF_FEW, _FEW_BITS = 2.0, 3


def _coarser(taken: int, budget: int, count: int, bits_an_octave: float) -> float:
    """What steps are multiplied by towards a budget of bytes; twice as coarse ones spare each number so many bits."""
    octaves = _GAIN * 8 * (taken - budget) / count / bits_an_octave
    return float(2.0 ** min(max(octaves, -1.0), 1.0))


def _is_near(taken: int, budget: int) -> bool:
    return abs(taken - budget) <= _NEAR * budget


def _until_next(interval: float, *, near: bool) -> float:
    """Moves until the next look at the bytes, where there were so many until this one."""
    return min(2 * interval, _LONGEST_INTERVAL) if near else _INTERVAL


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
        self._state = torch.tensor([DEFAULT_SCALE, _INTERVAL, _INTERVAL])
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
        self._state[0] = (self._state[0] * _coarser(taken, self._budget, count, _BITS_AN_OCTAVE)).clamp(*_SCALES)
        self._state[1] = self._state[2] = _until_next(float(self._state[2]), near=_is_near(taken, self._budget))

    @property
    def nbytes(self) -> int:
        return self._budget

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        exact = self.masters.detach().cpu()
        return coarsened(self.plain_set(labels, **metadata), exact, self.steps, self._budget)


class CodedPixelRepresentation(PixelRepresentation):
    """Pixels that are drawn as coding by a few bits will leave them; their levels follow their range.

    They lie further apart, up to four times as far (twice, of 3 bits and fewer), while the coded images would take more
    than the budget.

    Args:
        pixels, downscale: as of :class:`PixelRepresentation`.
        bits: of a pixel.
        budget: bytes of the coded images and labels; None for no bound.
        scatter: the learning rate, which decides what trained pixels are expected to take.
    """

    # Coding looks at all images.
    divisible: ClassVar[bool] = False

    @dataclass(frozen=True)
    class Options(PixelRepresentation.Options):
        pixel_bits: int = option(DEFAULT_PIXEL_BITS, "Of a coded pixel.", least=1, most=12)

    @classmethod
    def plan(cls, room: Room, options: Any) -> Storage:
        check_downscale(room, options.downscale)
        if room.gpc is not None:
            return Storage(room.gpc)
        size = (room.data.height // options.downscale, room.data.width // options.downscale)
        held = images_that_fit(room, size, options.pixel_bits, cls._rate(room))
        return Storage(bounded(held, room.most))

    @classmethod
    def _rate(cls, room: Room) -> float:
        return cls.learning_rate if room.learning_rate is None else room.learning_rate

    @classmethod
    def _of(cls, pixels: Tensor, room: Room, options: Any) -> Representation:
        return cls(
            pixels, bits=options.pixel_bits, downscale=options.downscale, scatter=cls._rate(room),
            budget=coded_budget(room.data, room.ipc) - HEADER_BYTES,
        )  # fmt: skip

    def __init__(
        self,
        pixels: Tensor,
        *,
        bits: int,
        downscale: int = 1,
        budget: int | None = None,
        scatter: float = PixelRepresentation.learning_rate,
    ) -> None:
        super().__init__(pixels, downscale=downscale)
        self._bits = bits
        self._budget = budget
        self._widest = _WIDEST if bits > _FEW_BITS else _WIDEST_OF_FEW
        taken = bits_of_pixels(pixels.detach().cpu(), bits, scatter) * self._pixels.numel() / 8
        self._planned = int(taken if budget is None else min(taken, budget))
        # Lowest level, step between levels, moves that were made, how much further apart than fitted the levels are,
        # moves until the next look at the bytes, and how many there are between two.
        self._state = torch.tensor([0.0, 0.0, 0.0, 1.0, _INTERVAL, _INTERVAL])
        self._fit()

    def _fit(self) -> None:
        fitted = self._apart(float(self._state[3]))
        self._state[0], self._state[1] = fitted.low, fitted.step

    @property
    def steps(self) -> PixelSteps:
        """The levels as they are now."""
        return PixelSteps(self._bits, float(self._state[0]), float(self._state[1]))

    def _apart(self, factor: float) -> PixelSteps:
        """Levels for the pixels as they are, so many times further apart than would fit them best."""
        pixels = self._pixels.detach()
        return PixelSteps.fitted(pixels, self._bits).apart(factor, pixels)

    def _look(self, budget: int) -> None:
        """Codes the images, and moves the levels apart, or together again, towards what the budget allows."""
        taken = encode_images(self._pixels.detach().cpu(), None, *self._size, self.steps).data.numel()
        factor = _coarser(taken, budget, self._pixels.numel(), _PIXEL_BITS_AN_OCTAVE)
        self._state[3] = (self._state[3] * factor).clamp(1.0, self._widest)
        within = taken <= budget and float(self._state[3]) == 1
        self._state[4] = self._state[5] = _until_next(float(self._state[5]), near=within or _is_near(taken, budget))

    @property
    def nbytes(self) -> int:
        return self._planned

    def buffers(self) -> dict[str, Tensor]:
        return {"coding": self._state}

    def _stored(self, pixels: Tensor) -> Tensor:
        return round_to_levels(pixels, self.steps)

    def constrain(self) -> None:
        super().constrain()
        self._state[2] += 1
        if int(self._state[2]) % _INTERVAL:
            return
        self._fit()
        self._state[4] -= _INTERVAL
        if self._state[4] <= 0 and self._budget is not None:
            self._look(self._budget)
            self._fit()

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        """Where they would take more than the budget by the levels as they are, these are set further apart.

        Not beyond some bound: the set may take more then, as whoever asked for many images will be told.
        """
        plain, exact = self.plain_set(labels, **metadata), self._pixels.detach().cpu()
        factor = float(self._state[3])
        found = encoded(plain, exact, self.steps)
        while self._budget is not None and found.data.numel() > self._budget and factor < self._widest:
            factor = min(factor * _WIDENING, self._widest)
            found = encoded(plain, exact, self._apart(factor))
        return plain.with_coded(found)
