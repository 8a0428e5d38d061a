"""The file of a distilled set, docs/file-format.md: which fields and tensors its container has.

What the tensors must hold is in ``checks``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.container import Kind, description_text, open_container, write_container
from gsdd_runtime.sets.source import Identity, Source

FORMAT_VERSION = 1
METADATA_KEY = "gsdd"
KIND = Kind(
    name="a distilled set",
    key=METADATA_KEY,
    newest=FORMAT_VERSION,
    remedy="make a set with `gsdd-rt distill`, or give its file",
    again="copy it again",
)

_TENSORS = {
    "gaussians": "BF16", "pixels": "BF16", "labels": "I64", "soft_labels": "F16", "zca": "F32",
}  # fmt: skip


@dataclass(frozen=True)
class SetFile:
    """What a file holds.

    Attributes:
        fields: its description by the names of ``DistilledSet``'s arguments, with ``channels`` and
            ``classes``.
        tensors: ``gaussians`` or ``pixels``, ``labels`` (hard or soft), perhaps ``zca``.
        identity: of the file.
        source: the open file that the tensors are mapped from, or None where they are in memory.
    """

    fields: dict[str, Any]
    tensors: dict[str, Tensor]
    identity: Identity
    source: Source | None


def read_set_file(path: str | os.PathLike[str]) -> SetFile:
    """Opens a distilled set's file: a small one is copied into memory, of a larger one only the header is read.

    Raises:
        InputError: it cannot be read, is not such a file, is damaged, or is of a newer format.
    """
    container = open_container(path, KIND)
    representation = _check_tensors(container.path, container.dtypes)
    fields = _flat_fields(container.path, container.fields, representation)
    tensors = container.tensors()
    if "soft_labels" in tensors:
        tensors["labels"] = tensors.pop("soft_labels")
    return SetFile(fields, tensors, container.identity, container.source)


def write_set_file(path: str | os.PathLike[str], fields: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Writes the file whole or not at all, from what a SetFile holds. Equal arguments give equal bytes.

    Raises:
        InputError: the fields cannot be written as JSON, or the file cannot be written.
    """
    stored = dict(tensors)
    if stored["labels"].dim() == 2:
        stored["soft_labels"] = stored.pop("labels")
    write_container(path, KIND, _described(fields, tensors), stored)


def check_description(fields: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raises InputError for fields that :func:`write_set_file` would refuse."""
    description_text(KIND, _described(fields, tensors))


def _described(fields: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    fields = {"representation": "gaussians" if "gaussians" in tensors else "pixels", **fields}
    mean, std = fields.pop("mean"), fields.pop("std")
    fields["normalization"] = None if mean is None else {"mean": mean, "std": std}
    return fields


def _flat_fields(path: Path, fields: dict[str, Any], representation: str) -> dict[str, Any]:
    if fields.get("representation") != representation:
        raise InputError(
            f"{path}: the description says representation {fields.get('representation')!r}, the tensor is "
            f"{representation}"
        )
    for name in ("height", "width", "channels", "classes"):
        if name not in fields:
            raise InputError(f"{path}: the description lacks {name}")
    normalization = fields.get("normalization")
    if normalization is None:
        normalization = {}
    elif not isinstance(normalization, dict) or not {"mean", "std"} <= normalization.keys():
        raise InputError(f"{path}: normalization must hold mean and std")
    return {**fields, "mean": normalization.get("mean"), "std": normalization.get("std")}


def _check_tensors(path: Path, dtypes: dict[str, str]) -> str:
    """Which tensors there are, and their types. Returns the representation."""
    for name, dtype in dtypes.items():
        if name not in _TENSORS:
            raise InputError(f"{path}: unexpected tensor {name!a}: a distilled set has {', '.join(_TENSORS)}")
        if dtype != _TENSORS[name]:
            raise InputError(f"{path}: tensor {name} must be {_TENSORS[name]}, got {dtype!a}")
    for first, second in (("gaussians", "pixels"), ("labels", "soft_labels")):
        if (first in dtypes) == (second in dtypes):
            raise InputError(
                f"{path}: must hold either the tensor {first} or {second}, "
                f"holds {'both' if first in dtypes else 'none'}"
            )
    return "gaussians" if "gaussians" in dtypes else "pixels"
