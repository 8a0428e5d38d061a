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
from gsdd_runtime.sets import checks
from gsdd_runtime.sets.coding.coded import CodedImages
from gsdd_runtime.sets.container import Kind, description_text, open_container, write_container
from gsdd_runtime.sets.source import Identity, Source

FORMAT_VERSION = 1
METADATA_KEY = "gsdd"
REPRESENTATIONS = ("gaussians", "pixels")
KIND = Kind(
    name="a distilled set",
    key=METADATA_KEY,
    newest=FORMAT_VERSION,
    remedy="make a set with `gsdd-rt distill`, or give its file",
    again="copy it again",
)

_TENSORS = {
    "gaussians": "BF16", "pixels": "BF16", "coded": "U8", "labels": "I64", "soft_labels": "F16", "zca": "F32",
}  # fmt: skip


@dataclass(frozen=True)
class SetFile:
    """What a file holds.

    Attributes:
        fields: its description by the names of ``DistilledSet``'s arguments, with ``channels`` and
            ``classes``.
        tensors: ``gaussians`` or ``pixels``, decoded where they were coded, ``labels`` (hard or soft), perhaps
            ``zca``.
        coded: the images as they stand in the file, where they are coded.
        identity: of the file.
        source: the open file that the tensors are mapped from, or None where they are in memory.
    """

    fields: dict[str, Any]
    tensors: dict[str, Tensor]
    coded: CodedImages | None
    identity: Identity
    source: Source | None


def read_set_file(path: str | os.PathLike[str]) -> SetFile:
    """Opens a distilled set's file: a small one is copied into memory, of a larger one only the header is read.

    Raises:
        InputError: it cannot be read, is not such a file, is damaged, or is of a newer format.
    """
    container = open_container(path, KIND)
    _check_tensors(container.path, container.dtypes)
    fields = _flat_fields(container.path, container.fields, container.dtypes)
    tensors = container.tensors() if "coded" not in container.dtypes else container.copies()
    if "soft_labels" in tensors:
        tensors["labels"] = tensors.pop("soft_labels")
    if "coded" not in tensors:
        return SetFile(fields, tensors, None, container.identity, container.source)
    where = str(container.path)
    coded = CodedImages.from_fields(where, fields.pop("coding"), tensors.pop("coded"), fields["representation"])
    if coded.labels == ("labels" in tensors):
        raise InputError(f"{where}: labels must be either coded or a tensor")
    checks.check_size(where, fields["height"], fields["width"])
    images, labels = coded.decode(where, fields["height"], fields["width"])
    if labels is not None:
        tensors["labels"] = labels
    return SetFile(fields, {**tensors, coded.representation: images}, coded, container.identity, None)


def write_set_file(
    path: str | os.PathLike[str],
    fields: dict[str, Any],
    tensors: dict[str, Tensor],
    coded: CodedImages | None = None,
) -> None:
    """Writes the file whole or not at all, from what a SetFile holds. Equal arguments give equal bytes.

    Where there is ``coded``, it is written and the images it stands for are not.

    Raises:
        InputError: the fields cannot be written as JSON, or the file cannot be written.
    """
    stored = dict(tensors)
    if stored["labels"].dim() == 2:
        stored["soft_labels"] = stored.pop("labels")
    if coded is not None:
        stored["coded"] = coded.data
        for name in (coded.representation, *(["labels"] if coded.labels else [])):
            del stored[name]
    write_container(path, KIND, _described(fields, tensors, coded), stored)


def check_description(fields: dict[str, Any], tensors: dict[str, Tensor], coded: CodedImages | None = None) -> None:
    """Raises InputError for fields that :func:`write_set_file` would refuse."""
    description_text(KIND, _described(fields, tensors, coded))


def _described(fields: dict[str, Any], tensors: dict[str, Tensor], coded: CodedImages | None) -> dict[str, Any]:
    fields = {"representation": "gaussians" if "gaussians" in tensors else "pixels", **fields}
    mean, std = fields.pop("mean"), fields.pop("std")
    fields["normalization"] = None if mean is None else {"mean": mean, "std": std}
    if coded is not None:
        fields["coding"] = coded.to_fields()
    return fields


def _flat_fields(path: Path, fields: dict[str, Any], dtypes: dict[str, str]) -> dict[str, Any]:
    stated = fields.get("representation")
    if stated not in REPRESENTATIONS or ("coded" not in dtypes and stated not in dtypes):
        held = ", ".join(name for name in (*REPRESENTATIONS, "coded") if name in dtypes)
        raise InputError(f"{path}: the description says representation {stated!a}, the tensor is {held}")
    if ("coding" in fields) != ("coded" in dtypes):
        raise InputError(f"{path}: the tensor coded and the description's coding come together, one of them is missing")
    for name in ("height", "width", "channels", "classes"):
        if name not in fields:
            raise InputError(f"{path}: the description lacks {name}")
    normalization = fields.get("normalization")
    if normalization is None:
        normalization = {}
    elif not isinstance(normalization, dict) or not {"mean", "std"} <= normalization.keys():
        raise InputError(f"{path}: normalization must hold mean and std")
    return {**fields, "mean": normalization.get("mean"), "std": normalization.get("std")}


def _check_tensors(path: Path, dtypes: dict[str, str]) -> None:
    """Which tensors there are, and their types."""
    for name, dtype in dtypes.items():
        if name not in _TENSORS:
            raise InputError(f"{path}: unexpected tensor {name!a}: a distilled set has {', '.join(_TENSORS)}")
        if dtype != _TENSORS[name]:
            raise InputError(f"{path}: tensor {name} must be {_TENSORS[name]}, got {dtype!a}")
    # Coded images may have their labels with them.
    for names, least in (((*REPRESENTATIONS, "coded"), 1), (("labels", "soft_labels"), "coded" not in dtypes)):
        held = [name for name in names if name in dtypes]
        if not least <= len(held) <= 1:
            raise InputError(
                f"{path}: must hold one of the tensors {', '.join(names)}, holds {' and '.join(held) or 'none'}"
            )
