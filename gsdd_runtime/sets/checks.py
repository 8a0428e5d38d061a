"""The rules of a distilled set (docs/file-format.md), one function a group. Each raises InputError.

Messages start with ``where``: the file's name, or "the distilled set" for one made in memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.sets.strict_json import check_text
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, MAX_SIDE, SHAPE_PARAMETERS
from gsdd_runtime.wording import counted

MAX_CLASSES = 1_000_000
# Numbers are used in float32, where smaller ones are 0 on some devices and larger ones infinite.
_FLOAT32 = torch.finfo(torch.float32)
_SINGLE = f"{_FLOAT32.tiny:.2g} to {_FLOAT32.max:.2g}"
# Values that one step of a check looks at: bounds its memory.
_PART = 1 << 22


def check_forms(where: str, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Sizes, shapes and dtypes, and that they fit one another; no value of a tensor is read, but labels are counted.

    Args:
        where: begins an error.
        fields: by the names of ``DistilledSet``'s arguments; ``channels`` and ``classes`` may be left out.
        tensors: ``gaussians`` or ``pixels``, ``labels`` and perhaps ``zca``.

    Returns:
        Channels and classes.
    """
    height, width = fields["height"], fields["width"]
    check_size(where, height, width)
    if "gaussians" in tensors:
        images, channels = tensors["gaussians"], check_gaussian_tensor(where, tensors["gaussians"])
    else:
        images, channels = tensors["pixels"], check_pixel_tensor(where, tensors["pixels"], height, width)
    stated = fields.get("channels", channels)
    if not is_integer(stated) or stated != channels:
        raise InputError(f"{where}: channels: the description says {stated!r}, the tensor has {channels}")
    check_label_tensor(where, tensors["labels"], images.shape[0])
    if "zca" in tensors:
        check_zca_tensor(where, tensors["zca"], channels, height, width)
    return channels, _count_classes(where, fields, tensors["labels"])


def check_size(where: str, height: Any, width: Any) -> None:
    """The native size: two integers from 1 to 16384."""
    for name, value in (("height", height), ("width", width)):
        if not is_integer(value) or not 1 <= value <= MAX_SIDE:
            raise InputError(f"{where}: the native {name} must be 1 to {MAX_SIDE}, got {value!r}")


def check_gaussian_tensor(where: str, gaussians: Tensor) -> int:
    """``gaussians``: bfloat16 ``[M, N, 6 + channels]``, none of them empty. Returns the channels."""
    _check_form(where, "gaussians", gaussians, torch.bfloat16, 3, "[images, Gaussians, 6 + channels]")
    channels = gaussians.shape[2] - SHAPE_PARAMETERS
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(
            f"{where}: the last dimension of gaussians must be {SHAPE_PARAMETERS} + channels with 1 to "
            f"{MAX_CHANNELS} "
            f"channels, got {gaussians.shape[2]}"
        )
    return channels


def check_pixel_tensor(where: str, pixels: Tensor, height: int, width: int) -> int:
    """``pixels``: bfloat16 ``[M, channels, height / f, width / f]``, ``f`` a whole factor. Returns the channels."""
    _check_form(where, "pixels", pixels, torch.bfloat16, 4, "[images, channels, height, width]")
    if not 1 <= pixels.shape[1] <= MAX_CHANNELS:
        raise InputError(f"{where}: pixels must have 1 to {MAX_CHANNELS} channels, got {pixels.shape[1]}")
    factor = height // pixels.shape[2]
    if (pixels.shape[2] * factor, pixels.shape[3] * factor) != (height, width):
        raise InputError(
            f"{where}: pixels are {pixels.shape[2]}x{pixels.shape[3]}, the native size is {height}x{width}: "
            "it must be theirs, or theirs times one whole number"
        )
    return pixels.shape[1]


def check_label_tensor(where: str, labels: Tensor, images: int) -> None:
    """Labels: int64 ``[M]`` or, soft, float16 ``[M, classes]``, one for each of the ``images``."""
    _check_tensor(where, "labels", labels)
    if labels.dtype == torch.int64:
        _check_form(where, "labels", labels, torch.int64, 1, "[images]")
    else:
        _check_form(where, "soft labels", labels, torch.float16, 2, "[images, classes]")
        if labels.shape[1] > MAX_CLASSES:
            raise InputError(f"{where}: at most {MAX_CLASSES} classes, got {labels.shape[1]}")
    if labels.shape[0] != images:
        raise InputError(
            f"{where}: {counted(labels.shape[0], 'label')} for {counted(images, 'image')}: there must be one an image"
        )


def check_zca_tensor(where: str, zca: Tensor, channels: int, height: int, width: int) -> None:
    """``zca``: float32 ``[D + 1, D]``, ``D = channels * height * width``."""
    _check_form(where, "zca", zca, torch.float32, 2, "[D + 1, D]")
    length = channels * height * width
    if tuple(zca.shape) != (length + 1, length):
        raise InputError(
            f"{where}: zca must be [{length + 1}, {length}] for images of {channels}x{height}x{width}, "
            f"got {list(zca.shape)}"
        )


def check_class_names(where: str, names: Any, classes: int) -> None:
    """Class names: a list of ``classes`` different, non-empty strings without control characters."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{where}: class names must be a list of non-empty strings")
    if len(names) != classes:
        raise InputError(f"{where}: {counted(len(names), 'class name')} for {counted(classes, 'class')}")
    if len(set(names)) != len(names):
        raise InputError(f"{where}: class names must differ from one another")
    for name in names:
        check_text(where, "a class name", name)


def check_normalization(where: str, mean: Any, std: Any, channels: int) -> None:
    """Mean and standard deviation: a number a channel that float32 can hold, the deviation above 0; both or neither."""
    if (mean is None) != (std is None):
        raise InputError(f"{where}: mean and std come together: give both or neither")
    if mean is None:
        return
    for name, values in (("mean", mean), ("std", std)):
        if not isinstance(values, (list, tuple)) or not all(is_number(value) for value in values):
            raise InputError(f"{where}: {name} must be a list of finite numbers")
        if len(values) != channels:
            raise InputError(f"{where}: {name} has {counted(len(values), 'number')} for {counted(channels, 'channel')}")
    for value in mean:
        if value != 0 and not _FLOAT32.tiny <= abs(value) <= _FLOAT32.max:
            raise InputError(f"{where}: mean must be 0 or {_SINGLE} in size, got {value!r}")
    for value in std:
        if not _FLOAT32.tiny <= value <= _FLOAT32.max:
            raise InputError(f"{where}: std must be above 0, {_SINGLE}, got {value!r}")


def check_description(where: str, fields: Mapping[str, Any]) -> None:
    """The fields that describe how a set was made, and how good it was found."""
    check_accuracy(where, fields.get("accuracy"))
    for name in ("ipc", "gpc"):
        value = fields.get(name)
        if value is not None and (not is_integer(value) or not 1 <= value < 2**63):
            raise InputError(f"{where}: {name} must be a whole number from 1, got {value!r}")
    seed = fields.get("seed")
    if seed is not None and (not is_integer(seed) or not -(2**63) <= seed < 2**64):
        raise InputError(f"{where}: seed must be a whole number of 64 bits, got {seed!r}")
    for name in ("method", "fingerprint"):
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InputError(f"{where}: {name} must be text, got {type(value).__name__}")
        check_text(where, name, value)
    for name in ("options", "versions", "training"):
        value = fields.get(name)
        if value is not None and (not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value)):
            raise InputError(f"{where}: {name} must map names to values, got {type(value).__name__}")


def check_accuracy(where: str, value: Any) -> None:
    """Measured accuracies: a list of objects, each with a network and a mean from 0 to 1 at the last epoch."""
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise InputError(f"{where}: accuracy must be a list of what was measured")
    for one in value:
        last = one.get("last_epoch")
        mean: Any = last.get("mean") if isinstance(last, Mapping) else None
        if not isinstance(one.get("network"), str) or not is_number(mean) or not 0 <= mean <= 1:
            raise InputError(f"{where}: accuracy must say a network, and a mean from 0 to 1 at the last epoch")


def check_finite(where: str, name: str, images: Tensor, numbers: Sequence[int] | Tensor | None = None) -> None:
    """No NaN and no infinity in the rows of ``images``; ``numbers`` are theirs in the set, if not 0, 1, 2, ..."""
    flat = images.flatten(1)
    step = max(1, _PART // max(1, flat.shape[1]))
    for first in range(0, flat.shape[0], step):
        part = flat[first : first + step]
        # NaN goes through aminmax, which reads each number once: several times faster than isfinite of all. The two are
        # looked at in Python: every operation more would be felt in a mapped set's small batches.
        if part.numel() == 0 or all(map(math.isfinite, torch.stack(part.aminmax()).tolist())):
            continue
        image = first + int((~torch.isfinite(part)).any(dim=1).nonzero()[0])
        number = image if numbers is None else int(numbers[image])
        raise InputError(f"{where}: {name}[{number}] holds a NaN or an infinity: the set is damaged, distill again")


def check_label_values(where: str, labels: Tensor, classes: int) -> None:
    """Hard labels within ``0 .. classes - 1``; soft labels finite, not negative, not all zero."""
    if labels.shape[0] == 0:
        return
    if labels.dtype == torch.int64:
        low, high = (int(value) for value in labels.aminmax())
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise InputError(
                f"{where}: label {wrong} is out of range for {counted(classes, 'class')} (0 to {classes - 1})"
            )
        return
    step = max(1, _PART // labels.shape[1])
    for first in range(0, labels.shape[0], step):
        part = labels[first : first + step].float()
        if not bool(torch.isfinite(part).all()) or bool((part < 0).any()):
            raise InputError(f"{where}: soft labels must be finite and not negative")
        if not bool((part.sum(dim=1) > 0).all()):
            raise InputError(f"{where}: soft labels of an image are all zero")


def _count_classes(where: str, fields: Mapping[str, Any], labels: Tensor) -> int:
    soft = labels.shape[1] if labels.dim() == 2 else None
    classes = fields.get("classes")
    if classes is None:
        names = fields.get("class_names")
        classes = soft if soft is not None else len(names) if names else max(1, int(labels.max()) + 1)
    if not is_integer(classes) or not 1 <= classes <= MAX_CLASSES:
        raise InputError(f"{where}: classes must be 1 to {MAX_CLASSES}, got {classes!r}")
    if soft is not None and soft != classes:
        raise InputError(f"{where}: soft labels are of {counted(soft, 'class')}, the description says {classes}")
    return int(classes)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """A finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _check_form(where: str, name: str, tensor: Tensor, dtype: torch.dtype, rank: int, form: str) -> None:
    _check_tensor(where, name, tensor)
    if tensor.dtype != dtype:
        kind = str(dtype).removeprefix("torch.")
        raise InputError(f"{where}: {name} must be {kind}, got {str(tensor.dtype).removeprefix('torch.')}")
    if tensor.dim() != rank:
        raise InputError(f"{where}: {name} must be {form}, got {list(tensor.shape)}")
    if tensor.numel() == 0:
        raise InputError(f"{where}: {name} is empty, {list(tensor.shape)}: a set holds at least one image")


def _check_tensor(where: str, name: str, value: object) -> None:
    check_type(f"{where}: {name}", value, Tensor, "a torch.Tensor", "convert it with torch.as_tensor")
