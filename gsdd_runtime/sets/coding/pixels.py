"""The order and the contexts in which rounded pixels are coded: what Gaussians are compared with, by the same coder.

Pixels go along the diagonals of an image, all images at once, so that the pixel to the left, the one above and the one
between are known. Up to three bits a pixel, those neighbours (and the channel before) are the context; beyond, they
predict the pixel as JPEG-LS does (Weinberger et al., 2000) and how much they differ is the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding.stream import Reader, Writer
from gsdd_runtime.sets.coding.tokens import Numbers, fold

# Planes of the stream; channels follow CHANNEL.
LABELS, CHANNEL = 0, 1
MAX_BITS = 12
_CONTEXT_BITS = 3
# Parts of a step that levels are moved by while they are fitted.
_MOVES = 8
# Binary digits of numbers from 0 to 2^15 - 1.
_LENGTHS = np.frexp(np.arange(1 << 15))[1].astype(np.int8)


@dataclass(frozen=True)
class PixelSteps:
    """Levels of a pixel: ``low + step * k``, ``k`` from 0 to ``2^bits - 1``, in image values.

    Raises:
        InputError: a number out of range.
    """

    bits: int
    low: float
    step: float

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= MAX_BITS:
            raise InputError(f"bits of a pixel must be 1 to {MAX_BITS}, got {self.bits!r}")
        for name, value, good in (
            ("low", self.low, lambda number: abs(number) <= 2**16),
            ("step", self.step, lambda number: 2**-16 <= number <= 2**16),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not good(value):
                raise InputError(f"the {name} of a pixel's levels is out of range: {value!r}")

    @classmethod
    def fitted(cls, pixels: Tensor, bits: int) -> PixelSteps:
        """Levels for these pixels, whatever their range: from the least to the largest, drawn in while that helps."""
        values = pixels.double().flatten()
        low, high = float(values.min()), float(values.max())
        if not high > low:
            return cls(bits, low, 2.0**-8)
        best = None
        for shrink in np.linspace(0, 0.45, 46) if bits <= 4 else (0.0,):
            bottom = low + shrink * (high - low)
            step = (high - low) * (1 - 2 * shrink) / max(1, 2**bits - 1)
            found = cls(bits, bottom, max(step, 2.0**-16))
            error = float((found.values(found.numbers(values)) - values).square().mean())
            if best is None or error < best[0]:
                best = (error, found)
        assert best is not None
        return best[1]

    def apart(self, factor: float, pixels: Tensor) -> PixelSteps:
        """Levels so many times further apart, which take fewer bits, moved to where they are nearest to these pixels.

        A plain background then lies at a level, not between two of them.
        """
        if factor == 1:
            return self
        values, step = pixels.double().flatten(), self.step * factor
        moved = [PixelSteps(self.bits, self.low + place / _MOVES * step, step) for place in range(-_MOVES, _MOVES + 1)]
        return min(moved, key=lambda one: float((one.values(one.numbers(values)) - values).square().mean()))

    def numbers(self, pixels: Tensor) -> Tensor:
        """The nearest levels, int64."""
        return ((pixels.double() - self.low) / self.step).round().clamp(0, 2**self.bits - 1).long()

    def values(self, numbers: Tensor) -> Tensor:
        """Image values of levels, float32."""
        return numbers.float() * self.step + self.low


def encode(pixels: Tensor, labels: Tensor | None, steps: PixelSteps) -> tuple[bytes, dict[str, float]]:
    """Codes pixels ``[M, C, H, W]`` of any float type, and labels, int64 ``[M]``, unless they are kept elsewhere.

    Returns the bytes, and the bits that each kind of number takes of them, without the tables.
    """
    levels = steps.numbers(pixels).cpu().numpy().astype(np.int16)
    writer = Writer()
    if labels is not None:
        writer.write(LABELS, fold(np.diff(labels.numpy(), prepend=0)), np.zeros(len(labels), np.int64))
    padded = np.pad(levels, ((0, 0), (0, 0), (1, 0), (1, 0)))
    for channel, place, expected, contexts in _walk(padded, steps.bits):
        numbers = padded[:, channel, place[0], place[1]]
        writer.write(CHANNEL + channel, numbers if expected is None else fold(numbers - expected), contexts)
    data = writer.finish()
    bits = {"labels": writer.bits.pop(LABELS, 0.0)}
    return data, {**bits, "pixels": sum(writer.bits.values())}


def decode(data: bytes, shape: tuple[int, ...], steps: PixelSteps, *, labels: bool) -> tuple[Tensor, Tensor | None]:
    """The pixels, bfloat16 ``[M, C, H, W]``, and labels, int64 ``[M]`` where ``labels``.

    Raises:
        InputError: the bytes are damaged.
    """
    images, channels, height, width = shape
    reader = Reader(data)
    found = np.cumsum(reader.read(LABELS, np.zeros(images, np.int8), folded=True), dtype=np.int64) if labels else None
    padded = np.zeros((images, channels, height + 1, width + 1), np.int16)
    for channel, place, expected, contexts in _walk(padded, steps.bits):
        numbers = reader.read(CHANNEL + channel, contexts, folded=expected is not None)
        if expected is not None:
            numbers += expected
        if int(numbers.min()) < 0 or int(numbers.max()) >= 1 << steps.bits:
            raise InputError("the coded set has a pixel out of range")
        padded[:, channel, place[0], place[1]] = numbers
    reader.finish()
    values = steps.values(torch.arange(1 << steps.bits)).float().bfloat16().view(torch.int16).numpy()
    pixels = torch.from_numpy(values.take(padded[:, :, 1:, 1:])).view(torch.bfloat16)
    return pixels, None if found is None else torch.from_numpy(found)


Levels = NDArray[np.int16]
Step = tuple[int, tuple[Numbers, Numbers], "Levels | None", NDArray[np.int8]]


def _walk(padded: Levels, bits: int) -> Iterator[Step]:
    """Channel, places in ``padded``, what is expected there and the contexts, ``[M, places]``, diagonal by diagonal.

    ``padded`` ``[M, C, H + 1, W + 1]`` has a row and a column of zeros first; a decoder fills it in between the steps.
    Levels are below 2^12: sums and differences of a few stay within 16 bits.
    """
    _, channels, height, width = padded.shape
    for channel in range(channels):
        for diagonal in range(height + width - 3):
            rows = np.arange(max(0, diagonal - width + 2), min(height - 1, diagonal + 1))
            columns = diagonal - rows
            around = [(rows + 1, columns), (rows, columns + 1), (rows, columns)]
            left, above, corner = (padded[:, channel, r, c] for r, c in around)
            here = (rows + 1, columns + 1)
            before = padded[:, channel - 1][:, here[0], here[1]] if channel else None
            if bits <= _CONTEXT_BITS:
                contexts = left | above << bits
                if before is not None and 3 * bits <= 6:
                    contexts = contexts | before << 2 * bits
                yield channel, here, None, contexts.astype(np.int8)
                continue
            if before is not None:
                left, above, corner = (
                    part - padded[:, channel - 1, r, c]
                    for part, (r, c) in zip((left, above, corner), around, strict=True)
                )
            expected = np.clip(left + above - corner, np.minimum(left, above), np.maximum(left, above))
            activity = np.abs(left - corner) + np.abs(above - corner)
            yield channel, here, expected if before is None else expected + before, _LENGTHS.take(activity)
