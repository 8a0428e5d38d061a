"""What every target asks of a set before it writes, and what it writes about it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet, check_distilled_set
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.splatting.gaussians import MAX_SIDE

# Key of the description in an exported file, as in the set's own.
METADATA_KEY = "gsdd"


def written(
    out: str | os.PathLike[str], distilled_set: DistilledSet, size: int | None = None
) -> AbstractContextManager[Path]:
    """``atomic_path`` for what is made of a set: never onto the file of the set, and where there is room for it.

    Args:
        out: the file.
        distilled_set: it is made of.
        size: bytes that will be written; those of the set if left out.
    """
    return atomic_path(out, size=distilled_set.nbytes if size is None else size, inputs=[distilled_set.path])


def describe(distilled_set: DistilledSet, normalize: bool, height: int, width: int) -> dict[str, Any]:
    """How the set was made, and what the images of the exported decoder are.

    ``normalized``: they are what a network takes; ``zca``: a network takes whitened images.
    """
    return {
        "height": height,
        "width": width,
        "native_height": distilled_set.height,
        "native_width": distilled_set.width,
        "channels": distilled_set.channels,
        "images": len(distilled_set),
        "classes": distilled_set.classes,
        "class_names": distilled_set.class_names,
        "normalized": normalize,
        "zca": distilled_set.zca is not None,
        "mean": distilled_set.mean,
        "std": distilled_set.std,
        "ipc": distilled_set.ipc,
        "gpc": distilled_set.gpc,
        "method": distilled_set.method,
        "options": distilled_set.options,
        "seed": distilled_set.seed,
        "fingerprint": distilled_set.fingerprint,
        "versions": distilled_set.versions,
    }


def check_gaussians(distilled_set: DistilledSet) -> Tensor:
    """The set's Gaussians, every value checked.

    Raises:
        InputError: a set of pixels, or a damaged one.
    """
    check_distilled_set(distilled_set)
    if distilled_set.gaussians is None:
        raise InputError("the set holds pixels, not Gaussians: there is nothing to decode, so nothing to export")
    distilled_set.verify()
    return distilled_set.gaussians


def check_size(distilled_set: DistilledSet, size: tuple[int, int] | None) -> tuple[int, int]:
    """``size``, or the set's own.

    Raises:
        InputError: a side that is not 1 to 16384; a set that takes hours to draw at that size.
    """
    check_distilled_set(distilled_set)
    height, width = size or (distilled_set.height, distilled_set.width)
    for name, side in (("height", height), ("width", width)):
        if not isinstance(side, int) or not 1 <= side <= MAX_SIDE:
            raise InputError(f"the {name} of the images must be 1 to {MAX_SIDE}, got {side!r}")
    distilled_set.check_drawing(None, height, width)
    return height, width


def check_preparation(distilled_set: DistilledSet, normalize: bool, height: int, width: int) -> Preparation | None:
    """What makes a network's input of images of that size, on the CPU; None without ``normalize``.

    Raises:
        InputError: the set has no mean and std, or whitens another size.
    """
    if not normalize:
        return None
    return distilled_set.preparation.for_size(height, width).to(torch.device("cpu"))
