"""The file of a distilled set: one ``.safetensors`` with one metadata key (docs/file-format.md).

This module knows the container: header, metadata, tensors by name. What the tensors must hold is in
``checks``.
"""

from __future__ import annotations

import json
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import safetensors
import safetensors.torch
from torch import Tensor

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.checks import check_text

FORMAT_VERSION = 1
METADATA_KEY = "gsdd"
MAX_HEADER_BYTES = 1 << 23
# Deeper JSON is no description of anything.
MAX_JSON_DEPTH = 32

_TENSORS = {
    "gaussians": "BF16", "pixels": "BF16", "labels": "I64", "soft_labels": "F16", "zca": "F32",
}  # fmt: skip
_NOT_A_SET = "make a set with `gsdd-rt distill`, or give its file"


class MappedFile:
    """The open file under mapped tensors.

    Reading a page that was cut off the file would end the process, so ``check`` comes first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "rb")  # noqa: SIM115 - kept open as long as the mapping
        self.size = os.fstat(self._file.fileno()).st_size

    def header(self) -> dict[str, Any]:
        """The safetensors header, with no key twice in it."""
        start = self._file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if length < 2 or length > max(MAX_HEADER_BYTES, self.size):
            raise InputError(f"{self.path} is not a .safetensors file: {_NOT_A_SET}")
        if length > MAX_HEADER_BYTES:
            raise InputError(f"{self.path}: the header has {length} bytes, at most {MAX_HEADER_BYTES} are allowed")
        if 8 + length > self.size:
            raise InputError(f"{self.path} ends in its header: it was cut short, copy it again")
        header = parse_json(str(self.path), "the header", self._file.read(length))
        if not isinstance(header, dict):
            raise InputError(f"{self.path} is not a .safetensors file: {_NOT_A_SET}")
        return header

    def check(self) -> None:
        """Raises InputError if the file was cut short since it was opened."""
        now = os.fstat(self._file.fileno()).st_size
        if now < self.size:
            raise InputError(
                f"{self.path} was cut short while in use ({self.size} bytes, now {now}): restore and reopen it"
            )


@dataclass(frozen=True)
class SetFile:
    """What a file holds.

    Attributes:
        fields: its description by the names of ``DistilledSet``'s arguments, with ``channels`` and
            ``classes``.
        tensors: ``gaussians`` or ``pixels``, ``labels`` (hard or soft), perhaps ``zca``; all mapped.
        source: the open file.
    """

    fields: dict[str, Any]
    tensors: dict[str, Tensor]
    source: MappedFile


def read_set_file(path: str | os.PathLike[str]) -> SetFile:
    """Opens a distilled set's file; reads its header only, and maps the rest.

    Raises:
        InputError: it cannot be read, is not such a file, is damaged, or is of a newer format.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is not an ordinary file: {_NOT_A_SET}")
        source = MappedFile(path)
        header = source.header()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    fields = _description(path, header)
    names = _tensor_names(path, header)
    fields = _flat_fields(path, fields, "gaussians" if "gaussians" in names else "pixels")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged ({_one_line(error)}): copy it again") from error
    if "soft_labels" in tensors:
        tensors["labels"] = tensors.pop("soft_labels")
    return SetFile(fields, tensors, source)


def write_set_file(path: str | os.PathLike[str], fields: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Writes the file whole or not at all, from what a SetFile holds. Equal arguments give equal bytes.

    Raises:
        InputError: the fields cannot be written as JSON, or the file cannot be written.
    """
    fields = {
        "format_version": FORMAT_VERSION,
        "representation": "gaussians" if "gaussians" in tensors else "pixels",
        **fields,
    }
    mean, std = fields.pop("mean"), fields.pop("std")
    fields["normalization"] = None if mean is None else {"mean": mean, "std": std}
    tensors = dict(tensors)
    if tensors["labels"].dim() == 2:
        tensors["soft_labels"] = tensors.pop("labels")
    try:
        text = json.dumps(fields, allow_nan=False, sort_keys=True, separators=(",", ":"))
        parse_json("the distilled set", "the description", text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the description of the set cannot be written as JSON: {_one_line(error)}") from error
    if len(text) > MAX_HEADER_BYTES // 2:
        raise InputError(f"the description of the set is too long: {len(text)} bytes, at most {MAX_HEADER_BYTES // 2}")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            safetensors.torch.save_file(contiguous, temporary, metadata={METADATA_KEY: text})
        except safetensors.SafetensorError as error:
            raise InputError(f"cannot write {path}: {_one_line(error)}") from error


def parse_json(where: str, what: str, text: str | bytes) -> Any:
    """Strict JSON: UTF-8, no key twice, no NaN or infinity, at most ``MAX_JSON_DEPTH`` deep."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{where}: {what} has the key {twice!a} twice")
        for name in result:
            check_text(where, f"a key of {what}", name)
        return result

    def refuse(constant: str) -> NoReturn:
        raise InputError(f"{where}: {what} holds {constant}: numbers must be finite")

    def finite(number: str) -> float:
        value = float(number)
        if value in (float("inf"), float("-inf")):
            refuse(number[:40])
        return value

    try:
        decoded = text if isinstance(text, str) else text.decode()
        value = json.loads(decoded, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {what} is not valid JSON ({_one_line(error)}): {_NOT_A_SET}") from error
    _check_json(where, what, value, MAX_JSON_DEPTH)
    return value


def parse_description(path: Path, key: str, text: str, newest: int) -> dict[str, Any]:
    """The fields of the description that a file keeps in its metadata ``key``, whose format is at most ``newest``."""
    fields = parse_json(str(path), f"the metadata {key!r}", text)
    if not isinstance(fields, dict):
        raise InputError(f"{path}: the metadata {key!r} must be a JSON object")
    version = fields.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{path}: the format version must be a whole number from 1, got {version!r}")
    if version > newest:
        raise InputError(f"{path} is of format version {version}, this gsdd-rt reads up to {newest}: upgrade gsdd-rt")
    return fields


def _check_json(where: str, what: str, value: Any, depth: int) -> None:
    if depth == 0:
        raise InputError(f"{where}: {what} is nested more than {MAX_JSON_DEPTH} deep")
    if isinstance(value, str):
        check_text(where, f"text in {what}", value)
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            _check_json(where, what, item, depth - 1)


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


def _description(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise InputError(
            f"{path} is a .safetensors file but not a distilled set (no metadata {METADATA_KEY!r}): {_NOT_A_SET}"
        )
    return parse_description(path, METADATA_KEY, text, FORMAT_VERSION)


def _tensor_names(path: Path, header: dict[str, Any]) -> list[str]:
    names = [name for name in header if name != "__metadata__"]
    for name in names:
        if name not in _TENSORS:
            raise InputError(f"{path}: unexpected tensor {name!a}: a distilled set has {', '.join(_TENSORS)}")
        kind = header[name].get("dtype") if isinstance(header[name], dict) else None
        if kind != _TENSORS[name]:
            raise InputError(f"{path}: tensor {name} must be {_TENSORS[name]}, got {kind!a}")
    for first, second in (("gaussians", "pixels"), ("labels", "soft_labels")):
        if (first in names) == (second in names):
            raise InputError(
                f"{path}: must hold either the tensor {first} or {second}, holds {'both' if first in names else 'none'}"
            )
    return names


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
