"""The order and the contexts in which a set's rounded Gaussians are coded.

Gaussians of an image may stand in any order: they are sorted by amplitude, strongest first, and by ``l11`` within one
amplitude, and both are coded as differences. Those that draw nothing are left out; an image that had more than another
is what the others are filled up to, with zeros, when they are decoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding.steps import (
    AMPLITUDES,
    Levels,
    Rounded,
    Steps,
    factor_steps,
    levels,
    quantize,
    store,
)
from gsdd_runtime.sets.coding.stream import Reader, Writer
from gsdd_runtime.sets.coding.tokens import MAX_BITS, Numbers, fold
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, SHAPE_PARAMETERS

# Planes of the stream. Colours follow COLOR, one plane a channel.
LABELS, MISSING, AMPLITUDE, FIRST_L11, NEXT_L11, L21, L22, OPACITY, X, Y, COLOR = range(11)
_KINDS = {
    "labels": (LABELS,),
    "order": (MISSING, AMPLITUDE),
    "position": (X, Y),
    "cholesky": (FIRST_L11, NEXT_L11, L21, L22),
    "color": tuple(range(COLOR, COLOR + MAX_CHANNELS)),
    "opacity": (OPACITY,),
}
Wholes = NDArray[Any]
# Gaussians that are made from whole numbers at once: what the caches hold.
_PART = 1 << 14


def encode(
    gaussians: Tensor, labels: Tensor | None, height: int, width: int, steps: Steps
) -> tuple[bytes, dict[str, float]]:
    """Codes a set: the bytes, and the bits that each kind of number takes of them, without the tables.

    Args:
        gaussians: ``[M, N, 6 + C]``, any float type.
        labels: int64 ``[M]``; None where they are kept elsewhere.
        height, width: the native size.
        steps: that the parameters are rounded by.

    Raises:
        InputError: a parameter that is too large for these steps.
    """
    images, count = gaussians.shape[:2]
    rounded = _Flat.of(quantize(gaussians, height, width, steps))
    drawn = (rounded.color != 0).any(axis=1)
    image = np.repeat(np.arange(images), count)[drawn]
    flat = rounded.rows(drawn)
    flat = flat.rows(np.lexsort((*flat.position.T, *flat.factor.T[::-1], -flat.amplitude, image)))
    counts = np.bincount(image, minlength=images)
    first, same = _neighbours(counts, flat.amplitude)
    writer = Writer()
    if labels is not None:
        writer.write(LABELS, fold(np.diff(labels.numpy(), prepend=0)), np.zeros(images, np.int64))
    writer.write(MISSING, count - counts, np.zeros(images, np.int64))
    before = np.where(first, AMPLITUDES[1], np.roll(flat.amplitude, 1))
    writer.write(AMPLITUDE, before - flat.amplitude, first.astype(np.int64))
    l11 = flat.factor[:, 0]
    writer.write(FIRST_L11, l11[~same], flat.amplitude[~same])
    writer.write(NEXT_L11, (l11 - np.roll(l11, 1))[same], flat.amplitude[same])
    writer.write(L21, fold(flat.factor[:, 1]), flat.amplitude)
    writer.write(L22, flat.factor[:, 2], flat.amplitude)
    at = _Levels.of(flat.amplitude, flat.factor, steps)
    writer.write(OPACITY, flat.opacity, at.opacity)
    writer.write(X, fold(flat.position[:, 0]), at.x)
    writer.write(Y, fold(flat.position[:, 1]), at.y)
    for channel in range(flat.color.shape[1]):
        writer.write(COLOR + channel, fold(_difference(flat.color, channel)), flat.amplitude - at.color)
    data = writer.finish()
    return data, {kind: sum(writer.bits.get(plane, 0.0) for plane in planes) for kind, planes in _KINDS.items()}


def decode(
    data: bytes, shape: tuple[int, ...], height: int, width: int, steps: Steps, *, labels: bool
) -> tuple[Tensor, Tensor | None]:
    """The Gaussians, bfloat16 ``[M, N, 6 + C]``, and labels, int64 ``[M]`` where ``labels``; the same everywhere.

    Raises:
        InputError: the bytes are damaged.
    """
    images, count, parameters = shape
    reader = Reader(data)
    none = np.zeros(images, np.int8)
    found = np.cumsum(reader.read(LABELS, none, folded=True), dtype=np.int64) if labels else None
    counts = count - reader.read(MISSING, none).astype(np.int64)
    if int(counts.min()) < 0:
        raise InputError("the coded set has an image of fewer than no Gaussians")
    flat, at = _read(reader, counts, parameters - SHAPE_PARAMETERS, steps)
    reader.finish()
    gaussians = torch.zeros(images, count, parameters, dtype=torch.bfloat16)
    drawn = gaussians.view(-1, parameters)
    whole = len(flat) == len(drawn)
    rows = drawn if whole else torch.empty(len(flat), parameters, dtype=torch.bfloat16)
    for start in range(0, len(flat), _PART):
        part = slice(start, start + _PART)
        store(rows[part], flat.rows(part).rounded(), height, width, steps, at.levels(part))
    if not whole:
        drawn[torch.from_numpy(np.arange(count) < counts[:, None]).flatten()] = rows
    return gaussians, None if found is None else torch.from_numpy(found)


def _read(reader: Reader, counts: NDArray[np.int64], channels: int, steps: Steps) -> tuple[_Flat, _Levels]:
    """What :func:`encode` wrote of the Gaussians, and the levels of their steps."""
    total = int(counts.sum())
    first, _ = _neighbours(counts, np.zeros(total, np.int8))
    drops = reader.read(AMPLITUDE, first.view(np.int8))
    sums = AMPLITUDES[1] - _sums(drops, first)
    if total and int(sums.min()) < AMPLITUDES[0]:
        raise InputError("the coded set has an amplitude out of range")
    amplitude = sums.astype(np.int8)
    _, same = _neighbours(counts, amplitude)
    l11 = np.empty(total, np.int32)
    l11[~same] = reader.read(FIRST_L11, amplitude[~same])
    l11[same] = reader.read(NEXT_L11, amplitude[same])
    sums = _sums(l11, ~same)
    if total and int(sums.max()) >= 1 << MAX_BITS:
        raise InputError("the coded set has a factor out of range")
    factor = _columns(3, total)
    factor[:, 0] = sums
    factor[:, 1] = reader.read(L21, amplitude, folded=True)
    factor[:, 2] = reader.read(L22, amplitude)
    at = _Levels.of(amplitude, factor, steps)
    opacity = reader.read(OPACITY, at.opacity)
    position = _columns(2, total)
    position[:, 0] = reader.read(X, at.x, folded=True)
    position[:, 1] = reader.read(Y, at.y, folded=True)
    color = _columns(channels, total)
    behind = amplitude - at.color
    for channel in range(channels):
        color[:, channel] = reader.read(COLOR + channel, behind, folded=True)
        if channel:
            color[:, channel] += color[:, channel - 1]
    return _Flat(amplitude, factor, opacity, color, position), at


class _Flat:
    """Rounded Gaussians of all images one after the other, as arrays of any whole type."""

    def __init__(self, amplitude: Wholes, factor: Wholes, opacity: Wholes, color: Wholes, position: Wholes) -> None:
        self.amplitude, self.factor, self.opacity = amplitude, factor, opacity
        self.color, self.position = color, position

    @classmethod
    def of(cls, rounded: Rounded) -> _Flat:
        tensors = (rounded.amplitude, rounded.factor, rounded.opacity, rounded.color, rounded.position)
        return cls(*(tensor.cpu().flatten(0, 1).numpy() for tensor in tensors))

    def __len__(self) -> int:
        return len(self.amplitude)

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> _Flat:
        parts = (self.amplitude, self.factor, self.opacity, self.color, self.position)
        return _Flat(*(part[chosen] for part in parts))

    def rounded(self) -> Rounded:
        parts = (self.amplitude, self.factor, self.opacity, self.color, self.position)
        return Rounded(*(torch.from_numpy(part) for part in parts))


class _Levels:
    """Levels of the steps of Gaussians, int8 arrays: what they tell of a number's size is its context."""

    def __init__(
        self, color: NDArray[np.int8], opacity: NDArray[np.int8], x: NDArray[np.int8], y: NDArray[np.int8]
    ) -> None:
        self.color, self.opacity, self.x, self.y = color, opacity, x, y

    @classmethod
    def of(cls, amplitude: Wholes, factor: Wholes, steps: Steps) -> _Levels:
        found = np.empty((4, len(amplitude)), np.int8)
        for start in range(0, len(amplitude), _PART):
            part = slice(start, start + _PART)
            power = torch.from_numpy(amplitude[part])
            step = factor_steps(power, steps)
            at = levels(power, *(column * step for column in torch.from_numpy(factor[part]).unbind(-1)))
            for row, level in zip(found, (at.color, at.opacity, *at.position), strict=True):
                row[part] = level.numpy()
        return cls(*found)

    def levels(self, part: slice) -> Levels:
        color, opacity, x, y = (torch.from_numpy(row[part]) for row in (self.color, self.opacity, self.x, self.y))
        return Levels(color, opacity, (x, y))


def _columns(count: int, length: int) -> NDArray[np.int32]:
    """Room for ``[length, count]``, each column in one piece."""
    room: NDArray[np.int32] = np.empty((count, length), np.int32).T
    return room


def _neighbours(counts: NDArray[np.int64], amplitude: Wholes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which Gaussians are the first of their image, and which have the amplitude of the one before them there."""
    first = np.zeros(len(amplitude), bool)
    starts = np.cumsum(counts) - counts
    first[starts[counts > 0]] = True
    return first, ~first & (amplitude == np.roll(amplitude, 1))


def _sums(numbers: Wholes, starts: NDArray[np.bool_]) -> Numbers:
    """Running sums, int64, that begin anew at each of ``starts``, the first among them."""
    total = np.cumsum(numbers, dtype=np.int64)
    if len(numbers):
        places = np.flatnonzero(starts)
        total -= np.repeat(total[places] - numbers[places], np.diff(places, append=len(numbers)))
    return total


def _difference(color: Numbers, channel: int) -> Numbers:
    """A channel less the one before it: they resemble each other."""
    return color[:, channel] - (color[:, channel - 1] if channel else 0)
