"""The coded images of a set: their bytes, and what the description says of them under ``coding``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.sets.coding import gaussians as gaussian_coding
from gsdd_runtime.sets.coding import pixels as pixel_coding
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.coding.steps import Steps
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, MAX_SIDE, SHAPE_PARAMETERS

CODER = "rans"
# Numbers that a coded byte may stand for. It bounds the memory that a small file can ask for; sets come to about two.
NUMBERS_PER_BYTE = 64
# Bytes that decoding takes for a number at its peak, measured.
_DECODING_BYTES = 18
# Numbers that any file may stand for, whatever its length: a set of one faint image is nearly all header.
_FREE_NUMBERS = 1 << 16


@dataclass(frozen=True)
class CodedImages:
    """Images, and labels where they are hard, as they stand in the file.

    Attributes:
        data: uint8 ``[bytes]``.
        shape: of the decoded tensor: ``(M, N, 6 + C)`` Gaussians or ``(M, C, H, W)`` pixels.
        steps: that numbers were rounded by.
        labels: whether the labels are in ``data``.
        bits: that each kind of number takes, the rest is tables; empty where the images were read from a file.
    """

    data: Tensor
    shape: tuple[int, ...]
    steps: Steps | PixelSteps
    labels: bool
    bits: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def representation(self) -> str:
        """``"gaussians"`` or ``"pixels"``."""
        return "gaussians" if len(self.shape) == 3 else "pixels"

    def to_fields(self) -> dict[str, Any]:
        """The description's ``coding``, JSON values."""
        return {
            "coder": CODER,
            "labels": self.labels,
            "shape": list(self.shape),
            "steps": {field.name: getattr(self.steps, field.name) for field in fields(self.steps)},
        }

    @classmethod
    def from_fields(cls, where: str, value: Any, data: Tensor, representation: str) -> CodedImages:
        """What ``to_fields`` gave, checked before anything is decoded.

        Raises:
            InputError: a field that is missing or out of range; more numbers than the bytes can stand for.
        """
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: coding must be a JSON object, got {type(value).__name__}")
        if value.get("coder") != CODER:
            raise InputError(
                f"{where}: the coder is {value.get('coder')!a}, this gsdd-rt knows {CODER!r}: upgrade gsdd-rt"
            )
        labels = value.get("labels")
        if not isinstance(labels, bool):
            raise InputError(f"{where}: coding's labels must be true or false, got {labels!a}")
        shape = _shape(where, value.get("shape"), 3 if representation == "gaussians" else 4)
        kind: type[Steps | PixelSteps] = Steps if representation == "gaussians" else PixelSteps
        steps = value.get("steps")
        names = {field.name for field in fields(kind)}
        if not isinstance(steps, Mapping) or steps.keys() != names:
            raise InputError(f"{where}: coding's steps must be {', '.join(sorted(names))}")
        numbers = math.prod(shape)
        if numbers > _FREE_NUMBERS + NUMBERS_PER_BYTE * data.numel():
            raise InputError(
                f"{where}: {data.numel()} coded bytes cannot hold {numbers} numbers, at most {NUMBERS_PER_BYTE} a byte"
            )
        try:
            return cls(data, shape, kind(**steps), labels)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    def decode(self, where: str, height: int, width: int) -> tuple[Tensor, Tensor | None]:
        """The images, bfloat16 of ``shape``, and labels, int64 ``[M]``, or None where they are kept elsewhere.

        The result is the same on every machine.

        Raises:
            InputError: the bytes are damaged, or decoding them takes more memory than is free.
        """
        needed = _DECODING_BYTES * math.prod(self.shape)
        check_memory(needed, f"{where}: decoding its coded images", "take a machine with more")
        content = self.data.contiguous().numpy().tobytes()
        try:
            if isinstance(self.steps, Steps):
                return gaussian_coding.decode(content, self.shape, height, width, self.steps, labels=self.labels)
            return pixel_coding.decode(content, self.shape, self.steps, labels=self.labels)
        except InputError as error:
            raise InputError(f"{where}: {error}: it is damaged, copy it again") from error


def encode_images(
    images: Tensor, labels: Tensor | None, height: int, width: int, steps: Steps | PixelSteps
) -> CodedImages:
    """Codes Gaussians ``[M, N, 6 + C]`` or pixels ``[M, C, H, W]``.

    Args:
        images: of any float type.
        labels: int64 ``[M]``, coded too; None where they are kept elsewhere.
        height, width: the native size.
        steps: that numbers are rounded by.

    Raises:
        InputError: a number that is too large for these steps; images that hold next to nothing.
    """
    if isinstance(steps, Steps):
        content, bits = gaussian_coding.encode(images, labels, height, width, steps)
    else:
        content, bits = pixel_coding.encode(images, labels, steps)
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if images.numel() > _FREE_NUMBERS + NUMBERS_PER_BYTE * data.numel():
        raise InputError(
            f"{images.numel()} numbers in {data.numel()} bytes: the steps round nearly everything to nothing, "
            "take finer ones"
        )
    return CodedImages(data, tuple(images.shape), steps, labels is not None, bits)


def _shape(where: str, value: Any, rank: int) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or len(value) != rank
        or not all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side < 2**40 for side in value)
    ):
        raise InputError(f"{where}: coding's shape must be {rank} whole numbers from 1, got {value!a}")
    if rank == 3 and not 1 <= value[2] - SHAPE_PARAMETERS <= MAX_CHANNELS:
        raise InputError(f"{where}: coding's shape must end in {SHAPE_PARAMETERS} + channels, got {value!a}")
    if rank == 4 and not (1 <= value[1] <= MAX_CHANNELS and max(value[2:]) <= MAX_SIDE):
        raise InputError(f"{where}: coding's shape must be images, channels, height, width, got {value!a}")
    return tuple(value)
