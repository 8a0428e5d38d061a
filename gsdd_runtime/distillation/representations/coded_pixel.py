"""Pixels of few bits that are trained aware of how they will be coded, and kept within a budget of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.representations import steering
from gsdd_runtime.distillation.representations.pixel import PixelRepresentation, check_downscale
from gsdd_runtime.distillation.representations.pixel_rate import bits_of_pixels, images_that_fit
from gsdd_runtime.distillation.representations.representation import Representation, Room, Storage
from gsdd_runtime.distillation.representations.rounding import round_to_levels
from gsdd_runtime.distillation.storage import HEADER_BYTES, bounded, coded_budget
from gsdd_runtime.sets.coding.coded import encode_images
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.compression import DEFAULT_PIXEL_BITS, encoded
from gsdd_runtime.sets.distilled_set import DistilledSet

# Levels twice as far apart take about so many bits less a pixel; how much further apart they may come, and by how much
# at a time in the end.
_BITS_AN_OCTAVE = 0.7
_WIDEST, _WIDENING = 4.0, 2.0 ** (1 / 16)
# Of few levels, which then are hardly any; and how many bits are few.
_WIDEST_OF_FEW, _FEW_BITS = 2.0, 3


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
        self._state = torch.tensor([0.0, 0.0, 0.0, 1.0, steering.INTERVAL, steering.INTERVAL])
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
        factor = steering.coarser(taken, budget, self._pixels.numel(), _BITS_AN_OCTAVE)
        self._state[3] = (self._state[3] * factor).clamp(1.0, self._widest)
        finest = float(self._state[3]) == 1
        self._state[4] = self._state[5] = steering.until_next(float(self._state[5]), taken, budget, finest=finest)

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
        if int(self._state[2]) % steering.INTERVAL:
            return
        self._fit()
        self._state[4] -= steering.INTERVAL
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
