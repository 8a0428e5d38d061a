"""The images that a page holds, packed: a set's own bfloat16 parameters, or pixels of 8 bits."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.reports.account import without_folders
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.pictures import class_name
from gsdd_runtime.wording import bytes_in_words, counted

# Of the images of all sets in a page, before they are packed: a page of some hundred kB opens at once.
PAGE_BYTES = 500_000
# Where one image of each class takes more, the first classes are shown; and the most that may be asked for.
MOST_BYTES = 64_000_000
REAL_IMAGES = 8


def packed_set(
    distilled: DistilledSet, name: str, classes: Sequence[str], budget: int, per_class: int | None = None
) -> dict[str, Any]:
    """The first images of each class of a set, as JSON values.

    Args:
        distilled: the set.
        name: of it, for people.
        classes: names of all classes of the page; labels are positions in it.
        budget: of bytes, before packing.
        per_class: images of each class, whatever the budget; None for as many as are within it, at least one.

    Raises:
        InputError: ``per_class`` is more than a page can hold; a damaged file.
    """
    if per_class is not None and per_class < 1:
        raise InputError(f"per_class must be at least 1, got {per_class}")
    gaussians = distilled.representation == "gaussians"
    stored = distilled.rows(0)[0]
    size = 2 * stored.numel() if gaussians else distilled.channels * distilled.height * distilled.width
    indices = _chosen(distilled, size, budget, per_class)
    labels = distilled.hard_labels[indices].tolist()
    data = _planes(distilled.rows(indices)) if gaussians else _eight_bits(distilled.decode(indices).cpu())
    return {
        "kind": distilled.representation,
        "name": name,
        "height": distilled.height,
        "width": distilled.width,
        "channels": distilled.channels,
        "count": stored.shape[0] if gaussians else 0,
        "labels": [classes.index(class_name(distilled, label)) for label in labels],
        "indices": indices.tolist(),
        "data": _packed(data),
        "left_out": _left_out(name, distilled, labels),
    }


def packed_real(data: RealData, classes: Sequence[str], per_class: int = REAL_IMAGES) -> dict[str, Any]:
    """The first training images of each class of ``classes`` that the data has, as JSON values."""
    places = {data.class_names.index(name): to for to, name in enumerate(classes) if name in data.class_names}
    taken = [(data.train_labels == label).nonzero().flatten()[:per_class] for label in places]
    if sum(map(len, taken)) == 0:
        raise InputError(f"{data.name} has no class of the set: name the data that it was made from")
    indices = torch.cat(taken)
    if indices.numel() * data.train_images[0].numel() > MOST_BYTES:
        raise InputError(f"thumbnails of {data.name} would take too much of a page: leave --real out")
    return {
        "kind": "pixels",
        "name": f"real, {without_folders(data.name)}",
        "height": data.height,
        "width": data.width,
        "channels": data.channels,
        "count": 0,
        "labels": [places[label] for label in data.train_labels[indices].tolist()],
        "indices": indices.tolist(),
        "data": _packed(_eight_bits(data.train_images[indices])),
        "left_out": "",
    }


def class_names(sets: Sequence[DistilledSet]) -> list[str]:
    """Of all classes of the sets, each once."""
    return list(dict.fromkeys(class_name(one, label) for one in sets for label in range(one.classes)))


def _chosen(distilled: DistilledSet, size: int, budget: int, per_class: int | None) -> Tensor:
    """Indices of the first images of each class, in the order of classes."""
    labels = distilled.hard_labels
    present = labels.unique()
    if per_class is None:
        count = max(1, budget // max(1, size * present.numel()))
        present = present[: max(1, MOST_BYTES // 8 // max(1, size * count))]
    else:
        count = per_class
    chosen = torch.cat([(labels == label).nonzero().flatten()[:count] for label in present])
    if per_class is not None and chosen.numel() * size > MOST_BYTES:
        raise InputError(
            f"{counted(chosen.numel(), 'image')} of {bytes_in_words(size)} are more than a page can hold: "
            "lower --per-class"
        )
    return chosen


def _left_out(name: str, distilled: DistilledSet, labels: Sequence[int]) -> str:
    if len(labels) == len(distilled):
        return ""
    return (
        f"Of {name} this page holds {counted(len(labels), 'image')} of {counted(len(set(labels)), 'class')}, the first "
        f"of each, of {len(distilled)} of {distilled.classes}; gsdd-rt report --per-class sets how many."
    )


def _planes(gaussians: Tensor) -> bytes:
    """bfloat16 ``[M, N, P]`` as its high bytes, then its low ones, parameter by parameter: so they pack best."""
    bits = gaussians.cpu().permute(2, 0, 1).contiguous().view(torch.int16).numpy().astype(np.uint16)
    return (bits >> 8).astype(np.uint8).tobytes() + (bits & 255).astype(np.uint8).tobytes()


def _eight_bits(images: Tensor) -> bytes:
    """``[M, C, H, W]``, uint8 or in [0, 1], clamped, as bytes ``[M, H, W, C]``."""
    if images.is_floating_point():
        images = images.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1).contiguous().numpy().tobytes()


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()
