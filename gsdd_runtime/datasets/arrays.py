"""Arrays and tensors of images and labels as bytes and whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.progress import Progress, Reporter
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, MAX_SIDE
from gsdd_runtime.wording import counted

Part = tuple[Tensor, Tensor]

# Images copied between two reports of progress.
AT_ONCE = 256
_FLOATS = "give uint8 from 0 to 255, or floats from 0 (black) to 1 (white)"


def part_of_arrays(images: Any, labels: Any, where: str, channels_last: bool | None, progress: Reporter) -> Part:
    """uint8 ``[M, C, H, W]`` and int64 ``[M]``, copied.

    Args:
        images: an array or tensor, uint8 or floats in [0, 1]: ``[M, H, W]``, ``[M, C, H, W]`` or ``[M, H, W, C]``.
        labels: M whole numbers.
        where: what they are, for messages.
        channels_last: which of the two it is; None where the sides tell.
        progress: told of the images that were copied.

    Raises:
        InputError: another type, shape or range.
    """
    values = tensor_of(images, f"{where} images")
    if values.dim() == 3:
        values = values.unsqueeze(1)
    elif values.dim() != 4:
        raise InputError(f"{where} images must be [M, H, W], [M, C, H, W] or [M, H, W, C], got {list(values.shape)}")
    elif _is_channels_last(values.shape, where, channels_last):
        values = values.permute(0, 3, 1, 2)
    count, channels, height, width = values.shape
    if not 1 <= channels <= MAX_CHANNELS or not 1 <= height <= MAX_SIDE or not 1 <= width <= MAX_SIDE:
        raise InputError(
            f"{where} images have {counted(channels, 'channel')} and {height}x{width} pixels: "
            f"1 to {MAX_CHANNELS} channels and 1 to {MAX_SIDE} pixels a side are supported"
        )
    whole = _whole_numbers(labels, f"{where} labels", count)
    check_memory(values.numel(), f"a copy of {counted(count, 'image')} of {where}", "give fewer or smaller images")
    copied = torch.empty(values.shape, dtype=torch.uint8)
    for start in range(0, count, AT_ONCE):
        some = values[start : start + AT_ONCE]
        copied[start : start + AT_ONCE] = bytes_of(some, f"{where} images {start} to {start + len(some) - 1}")
        progress(Progress(f"copy {where}", start + len(some), count))
    return copied, whole


def _is_channels_last(shape: Sequence[int], where: str, told: bool | None) -> bool:
    first, last = (1 <= shape[at] <= MAX_CHANNELS for at in (1, 3))
    if told is None and first == last:
        what = "may be channels first or last" if first else f"have no side of 1 to {MAX_CHANNELS} channels"
        raise InputError(f"{where} images {list(shape)} {what}: say which with channels_last=True or False")
    return last if told is None else told


def tensor_of(values: Any, what: str) -> Tensor:
    """An array or tensor as a tensor in main memory; raises InputError for anything else."""
    if isinstance(values, Tensor):
        return values.detach().cpu()
    if not isinstance(values, np.ndarray):
        raise InputError(f"{what} must be an array or a tensor, got {type(values).__name__}: numpy.asarray makes one")
    if values.dtype.kind not in "buif" or values.dtype.itemsize > 8:
        raise InputError(f"{what} must be numbers, got {values.dtype}: {_FLOATS}")
    # Copied where torch could not take it: the other byte order, a step backwards, read-only.
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return torch.from_numpy(plain if plain.flags.writeable else plain.copy())


def bytes_of(values: Tensor, what: str) -> Tensor:
    """uint8 of uint8, or of floats from 0 to 1; raises InputError for anything else."""
    if values.dtype == torch.uint8:
        return values
    if not values.is_floating_point():
        kind = str(values.dtype).removeprefix("torch.")
        raise InputError(f"{what} are {kind}: {_FLOATS}")
    if not values.isfinite().all():
        raise InputError(f"{what} hold a NaN or an infinity: {_FLOATS}")
    least, most = (float(value) for value in values.aminmax())
    if least < 0 or most > 1:
        undone = "undo their normalisation" if least < 0 else "divide them by their white"
        raise InputError(f"{what} are {least:g} to {most:g}: {undone}; {_FLOATS}")
    return (values.double() * 255).round().to(torch.uint8)


def _whole_numbers(labels: Any, what: str, count: int) -> Tensor:
    try:
        values = labels if isinstance(labels, Tensor) else torch.as_tensor(np.asarray(labels))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} must be whole numbers, one an image: {' '.join(str(error).split())}") from error
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool or values.shape != (count,):
        kind = f"{str(values.dtype).removeprefix('torch.')} {list(values.shape)}"
        raise InputError(f"{what} must be whole numbers [{count}], one an image, got {kind}")
    return values.detach().cpu().to(torch.int64)


def names_for(labels: Tensor, class_names: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """The names that are given, or the numbers of the classes.

    Raises:
        InputError: no name is given, and the labels do not count classes from 0; a class has no training image.
    """
    if class_names is not None and (isinstance(class_names, str) or not all(isinstance(n, str) for n in class_names)):
        raise InputError(f"{where}: class_names must be a list of names, got {class_names!r:.80}")
    if not len(labels):
        raise InputError(f"{where} has no training image: at least one is needed")
    least, most = int(labels.min()), int(labels.max())
    if least < 0:
        raise InputError(f"{where}: label {least} is below 0: number the classes from 0, and leave out what has none")
    classes = len(class_names) if class_names is not None else most + 1
    if most >= classes:
        raise InputError(f"{where}: label {most} is out of range for {counted(classes, 'class name')}")
    # A number that is no position would count classes without end.
    if classes > len(labels):
        missing = next(label for label in range(classes) if not (labels == label).any())
        raise InputError(f"{where}: class {missing} of {classes} has no training image: number the classes from 0")
    empty = torch.nonzero(labels.bincount(minlength=classes) == 0).flatten()
    if len(empty):
        raise InputError(
            f"{where}: class {int(empty[0])} has no training image: number the classes from 0, without gaps"
        )
    return tuple(class_names) if class_names is not None else tuple(map(str, range(classes)))
