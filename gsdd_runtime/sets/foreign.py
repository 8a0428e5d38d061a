"""Sets that other repositories release: tensors of images and labels, read without running what they hold.

What is read: ``.pt`` and ``.pth`` as torch writes them, by its reader of tensors and plain containers
(``weights_only``); ``.npz`` and ``.npy`` without pickles. Known forms: MTT and DATM (``images_best.pt``,
``labels_best.pt``), DC, DSA and DM (``res_DM_....pt``, whose last experiment is taken), NCFM and DANCE
(``data_20000.pt``, images and labels in a list, several formed in one).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.foreign_tensors import read_foreign, read_tensors
from gsdd_runtime.sets.origins import IMPORTED
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.versions import VERSION
from gsdd_runtime.wording import counted

_IMAGES = ("images", "image", "data", "x", "image_syn")
_LABELS = ("labels", "label", "targets", "y", "label_syn")
# Pixel units leave [0, 1] somewhat, after distilling; beyond this they are none.
_PLAUSIBLE = (-1.0, 2.0)


def read_arrays(path: str | os.PathLike[str]) -> Any:
    """What a file of tensors holds: tensors in lists and dicts.

    Raises:
        InputError: it cannot be read, holds anything else than tensors and plain values, or is of another kind.
    """
    file = Path(path)
    words = {
        "holds": "tensors and plain values", "kind": "a file of tensors",
        "give": "save the tensors alone, with torch.save or numpy.savez", "larger": "import it on a larger machine",
    }  # fmt: skip
    suffix = file.suffix.lower()
    if suffix in (".pt", ".pth"):
        return read_tensors(file, **words)
    if suffix in (".npz", ".npy"):
        return read_foreign(file, lambda: _of_numpy(file), **words)
    raise InputError(f"{file}: give a .pt, .pth, .npz or .npy of tensors, or a folder of classes of pictures")


def _of_numpy(file: Path) -> Any:
    found = np.load(file, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return torch.from_numpy(found)
    with found as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def images_and_labels(path: str | os.PathLike[str], labels: str | os.PathLike[str] | None) -> tuple[Tensor, Tensor]:
    """Images and labels as they stand in the files.

    Args:
        path: of the images, or of both.
        labels: of the labels, where they are in a file of their own.

    Raises:
        InputError: as :func:`read_arrays`, or there are none, or labels are given twice.
    """
    found = _pair(read_arrays(path))
    if found is None:
        raise InputError(f"{path}: no tensor of images in it: give a tensor, a list or dict of images and labels")
    images, own = found
    if labels is None and own is None:
        raise InputError(f"{path} has images alone: give the file of their labels with --labels")
    if labels is not None and own is not None:
        raise InputError(f"{path} has labels with its images: leave --labels out")
    if labels is not None:
        own = read_arrays(labels)
        if isinstance(own, Mapping):
            own = next((own[name] for name in (*_LABELS, "arr_0") if name in own), None)
    if not isinstance(own, Tensor):
        raise InputError(f"{labels or path}: the labels are no tensor")
    return images.detach(), own.detach()


def _pair(found: Any) -> tuple[Tensor, Tensor | None] | None:
    if isinstance(found, Tensor):
        return found, None
    if isinstance(found, Mapping):
        images = next((found[name] for name in (*_IMAGES, "arr_0") if name in found), None)
        if isinstance(images, Tensor):
            labels = next((found[name] for name in (*_LABELS, "arr_1") if name in found), None)
            return images, labels if isinstance(labels, Tensor) else None
        # DC, DSA, DM: a list of pairs, one an experiment.
        return _pair(images[-1]) if isinstance(images, Sequence) and images else None
    if isinstance(found, Sequence) and len(found) == 2 and all(isinstance(one, Tensor) for one in found):
        return found[0], found[1]
    return None


def foreign_set(
    images: Tensor,
    labels: Tensor,
    *,
    given: Preparation | None = None,
    formation: int = 1,
    class_names: Sequence[str] | None = None,
    learned_rate: float | None = None,
    source: str | None = None,
) -> DistilledSet:
    """A pixel set of released tensors.

    The set keeps bfloat16 pixels, which change by up to 1/512 of themselves.

    Args:
        images: ``[M, C, H, W]`` or ``[M, H, W, C]``, bytes, or floats.
        labels: whole numbers ``[M]``, or shares ``[M, classes]``.
        given: what the images are prepared by already: it is undone, and stored with the set. None for pixel units.
        formation: images along each side of a stored one (IDC's multi-formation): they are cut apart, and drawn at the
            size of the whole.
        class_names: one a class.
        learned_rate: that was learned with the images.
        source: of the set, for its description.

    Raises:
        InputError: tensors of another shape or type, values that are no pixel units, what a set may not hold.
    """
    pixels = channels_first(images)
    pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
    if given is not None:
        pixels = given.undo(pixels)
    _check_range(pixels, given is not None)
    height, width = pixels.shape[2:]
    labels = labels.squeeze(1) if labels.dim() == 2 and labels.shape[1] == 1 else labels
    labels = labels.half() if labels.is_floating_point() and labels.dim() == 2 else labels.long()
    if labels.dim() not in (1, 2):
        raise InputError(f"labels must be [images] or [images, classes], got {list(labels.shape)}")
    if labels.shape[0] != pixels.shape[0]:
        raise InputError(
            f"{counted(labels.shape[0], 'label')} for {counted(len(pixels), 'image')}: one is needed for each"
        )
    if formation != 1:
        pixels, labels = _apart(pixels, labels, formation)
    # Class after class, as sets are.
    order = (labels if labels.dim() == 1 else labels.argmax(dim=1)).argsort(stable=True)
    return DistilledSet(
        None,
        labels[order],
        height,
        width,
        pixels=pixels[order].to(torch.bfloat16),
        class_names=class_names,
        mean=None if given is None else given.mean,
        std=None if given is None else given.std,
        zca=None if given is None else given.zca,
        method=IMPORTED,
        options={"source": source, "formation": formation},
        versions={"gsdd-rt": VERSION},
        training=None if learned_rate is None else {"learning_rate": learned_rate},
    )


def channels_first(images: Tensor) -> Tensor:
    """``[M, C, H, W]`` of that, of ``[M, H, W, C]`` or ``[M, H, W]``.

    Raises:
        InputError: another shape or type.
    """
    if images.dim() == 3:
        images = images[:, None]
    if images.dim() != 4 or 0 in images.shape:
        raise InputError(f"images must be [images, channels, height, width], got {list(images.shape)}")
    if not (images.is_floating_point() or images.dtype == torch.uint8):
        raise InputError(f"images must be bytes or floats, got {str(images.dtype).removeprefix('torch.')}")
    return images if images.shape[1] <= 4 or images.shape[3] > 4 else images.permute(0, 3, 1, 2)


def _check_range(pixels: Tensor, undone: bool) -> None:
    low, high = (float(value) for value in pixels.aminmax())
    # Written so that NaN fails it.
    if undone and not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise InputError("the images hold a NaN or an infinity: they are damaged")
    if undone or (_PLAUSIBLE[0] <= low and high <= _PLAUSIBLE[1]):
        return
    raise InputError(
        f"the images have values from {low:.3g} to {high:.3g}, which are no pixel units, 0 to 1: say what they were "
        "normalised by (--mean and --std, or --normalized-by)"
    )


def _apart(pixels: Tensor, labels: Tensor, formation: int) -> tuple[Tensor, Tensor]:
    height, width = pixels.shape[2:]
    if formation < 1 or height % formation or width % formation:
        raise InputError(f"images of {height}x{width} cannot be cut {formation} by {formation}: give another factor")
    rows, columns = height // formation, width // formation
    parts = [
        pixels[:, :, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
        for i in range(formation)
        for j in range(formation)
    ]
    return torch.cat(parts), torch.cat([labels] * formation**2)
