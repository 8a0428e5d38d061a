"""The order and the contexts in which a set's rounded Gaussians are coded.

Gaussians of an image may stand in any order: they are sorted by amplitude, strongest first, and by ``l11`` within one
amplitude, and both are coded as differences. Those that draw nothing are left out; an image that had more than another
is what the others are filled up to, with zeros, when they are decoded.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding.steps import AMPLITUDES, Rounded, Steps, dequantize, factor_steps, levels, quantize
from gsdd_runtime.sets.coding.stream import Reader, Writer
from gsdd_runtime.sets.coding.tokens import MAX_BITS, Numbers, fold, unfold
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
# Gaussians that are made from whole numbers at once: what the caches hold.
_PART = 1 << 16


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
    at = _contexts(flat, steps)
    writer.write(OPACITY, flat.opacity, at.opacity)
    writer.write(X, fold(flat.position[:, 0]), at.x)
    writer.write(Y, fold(flat.position[:, 1]), at.y)
    for channel in range(flat.color.shape[1]):
        writer.write(COLOR + channel, fold(_difference(flat.color, channel)), at.color)
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
    none = np.zeros(images, np.int64)
    found = np.cumsum(unfold(reader.read(LABELS, none))) if labels else None
    counts = count - reader.read(MISSING, none)
    if int(counts.min()) < 0:
        raise InputError("the coded set has an image of fewer than no Gaussians")
    flat = _read(reader, counts, parameters - SHAPE_PARAMETERS, steps)
    reader.finish()
    gaussians = torch.zeros(images, count, parameters, dtype=torch.bfloat16)
    drawn = torch.from_numpy(np.arange(count) < counts[:, None]).reshape(-1)
    places = drawn.nonzero().squeeze(1)
    rows = gaussians.view(-1, parameters)
    for start in range(0, len(places), _PART):
        part = flat.rows(slice(start, start + _PART)).rounded()
        rows[places[start : start + _PART]] = dequantize(part, height, width, steps).float().bfloat16()
    return gaussians, None if found is None else torch.from_numpy(found)


def _read(reader: Reader, counts: NDArray[np.int64], channels: int, steps: Steps) -> _Flat:
    total = int(counts.sum())
    first, _ = _neighbours(counts, np.zeros(total, np.int64))
    drops = reader.read(AMPLITUDE, first.astype(np.int64))
    amplitude = AMPLITUDES[1] - _sums(drops, first)
    if total and int(amplitude.min()) < AMPLITUDES[0]:
        raise InputError("the coded set has an amplitude out of range")
    _, same = _neighbours(counts, amplitude)
    l11 = np.empty(total, np.int64)
    l11[~same] = reader.read(FIRST_L11, amplitude[~same])
    l11[same] = reader.read(NEXT_L11, amplitude[same])
    l11 = _sums(l11, ~same)
    if total and int(l11.max()) >= 1 << MAX_BITS:
        raise InputError("the coded set has a factor out of range")
    l21 = unfold(reader.read(L21, amplitude))
    factor = np.stack((l11, l21, reader.read(L22, amplitude)), axis=1)
    flat = _Flat(amplitude, factor, amplitude, np.empty((total, 0), np.int64), np.empty((total, 0), np.int64))
    at = _contexts(flat, steps)
    opacity = reader.read(OPACITY, at.opacity)
    position = np.stack((unfold(reader.read(X, at.x)), unfold(reader.read(Y, at.y))), axis=1)
    differences = [unfold(reader.read(COLOR + channel, at.color)) for channel in range(channels)]
    color = np.cumsum(np.stack(differences, axis=1), axis=1)
    return _Flat(amplitude, factor, opacity, color, position)


class _Flat:
    """Rounded Gaussians of all images one after the other, as arrays."""

    def __init__(self, amplitude: Numbers, factor: Numbers, opacity: Numbers, color: Numbers, position: Numbers):
        self.amplitude, self.factor, self.opacity = amplitude, factor, opacity
        self.color, self.position = color, position

    @classmethod
    def of(cls, rounded: Rounded) -> _Flat:
        tensors = (rounded.amplitude, rounded.factor, rounded.opacity, rounded.color, rounded.position)
        return cls(*(tensor.cpu().flatten(0, 1).numpy() for tensor in tensors))

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> _Flat:
        parts = (self.amplitude, self.factor, self.opacity, self.color, self.position)
        return _Flat(*(part[chosen] for part in parts))

    def rounded(self) -> Rounded:
        parts = (self.amplitude, self.factor, self.opacity, self.color, self.position)
        return Rounded(*(torch.from_numpy(part) for part in parts))


class _Contexts:
    """What the step of a number tells of its size."""

    def __init__(self, opacity: Numbers, x: Numbers, y: Numbers, color: Numbers) -> None:
        self.opacity, self.x, self.y, self.color = opacity, x, y, color


def _contexts(flat: _Flat, steps: Steps) -> _Contexts:
    parts = []
    for start in range(0, max(1, len(flat.amplitude)), _PART):
        amplitude = torch.from_numpy(flat.amplitude[start : start + _PART])
        factor = torch.from_numpy(flat.factor[start : start + _PART]) * factor_steps(amplitude, steps).unsqueeze(-1)
        at = levels(amplitude, factor)
        parts.append((at.opacity, at.position[:, 0], at.position[:, 1], amplitude - at.color))
    return _Contexts(*(torch.cat(part).numpy() for part in zip(*parts, strict=True)))


def _neighbours(counts: NDArray[np.int64], amplitude: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which Gaussians are the first of their image, and which have the amplitude of the one before them there."""
    first = np.zeros(len(amplitude), bool)
    starts = np.cumsum(counts) - counts
    first[starts[counts > 0]] = True
    return first, ~first & (amplitude == np.roll(amplitude, 1))


def _sums(numbers: Numbers, starts: NDArray[np.bool_]) -> Numbers:
    """Running sums that begin anew at each of ``starts``, the first among them."""
    total = np.cumsum(numbers)
    before = (total - numbers)[starts]
    return total - before[np.cumsum(starts) - 1] if len(numbers) else total


def _difference(color: Numbers, channel: int) -> Numbers:
    """A channel less the one before it: they resemble each other."""
    return color[:, channel] - (color[:, channel - 1] if channel else 0)
