"""The container of every file of ours: a ``.safetensors`` with a JSON description under one metadata key.

Sets, trained networks and checkpoints are opened and written here. What their tensors must hold is their own.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
from torch import Tensor

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.source import Identity, Source
from gsdd_runtime.sets.streamed import Tensors, write_streamed
from gsdd_runtime.sets.strict_json import one_line, parse_json

MAX_HEADER_BYTES = 1 << 23
# Metadata of a file of ours.
_OURS = re.compile(r"gsdd(_[a-z]{1,20}){0,4}")
# Files up to this size are copied into memory, larger ones mapped.
IN_MEMORY_BYTES = 1 << 24


@dataclass(frozen=True)
class Kind:
    """One of our files.

    Attributes:
        name: with its article: "a distilled set".
        key: of the metadata that holds the description.
        newest: format version that is read.
        remedy: what to do where the file is something else.
        again: what to do where it is damaged.
    """

    name: str
    key: str
    newest: int
    remedy: str
    again: str


@dataclass(frozen=True)
class Container:
    """A file whose header was read.

    Attributes:
        path: as it was given.
        fields: the description.
        dtypes: of each tensor, as the header spells them ("BF16").
        identity: of the file.
        source: the open file where it is to be mapped; None where it was copied.
    """

    path: Path
    kind: Kind
    fields: dict[str, Any]
    dtypes: dict[str, str]
    identity: Identity
    source: Source | None
    _content: bytes

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name: in memory, or views of the mapped file, which is ``source``.

        Raises:
            InputError: the header does not fit the file.
        """
        try:
            if self.source is None:
                return safetensors.torch.load(self._content)
            with safetensors.safe_open(self.path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in self.dtypes}
        except (
            safetensors.SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError,
        ) as error:  # fmt: skip
            raise InputError(f"{self.path} is damaged ({one_line(error)}): {self.kind.again}") from error
        self.source.check_name()
        self.source.check()
        return tensors

    def copies(self, rows: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None) -> dict[str, Tensor]:
        """As ``tensors``, all in memory.

        Args:
            rows: says by the forms of the tensors which rows are wanted of some, int64 by name; the others are whole.

        Raises:
            InputError: the header does not fit the file, or the file changed.
        """
        tensors = self.tensors()
        wanted = {} if rows is None else rows(tensors)
        copies = {}
        for name, tensor in tensors.items():
            if self.source is not None:
                self.source.check()
            copies[name] = tensor[wanted[name]] if name in wanted else tensor.clone()
        return copies


def open_container(path: str | os.PathLike[str], kind: Kind) -> Container:
    """Opens a file and reads its header; up to ``IN_MEMORY_BYTES`` all of it.

    Raises:
        InputError: it cannot be read, is no such file, is damaged, or is of a newer format.
    """
    path = Path(path)
    try:
        # Asked before opening, which would wait for the other end of a pipe.
        if not stat.S_ISREG(mode := path.stat().st_mode):
            folder = ", but a folder" if stat.S_ISDIR(mode) else ""
            raise InputError(f"{path} is not an ordinary file{folder}: {kind.remedy}")
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            text = _header_text(path, kind, file, status.st_size)
            # Texts under other keys of the metadata are not ours to judge; no message shows them as they are.
            header = parse_json(str(path), "the header", text, kind.remedy, controls=True)
            if not isinstance(header, dict):
                raise InputError(f"{path} is not a .safetensors file: {kind.remedy}")
            fields = _description(path, kind, header)
            identity, source, content = Identity.of(path, status, text), None, b""
            if status.st_size <= IN_MEMORY_BYTES:
                content = struct.pack("<Q", len(text)) + text + file.read(IN_MEMORY_BYTES)
            else:
                source = Source(path, file, identity, 8 + len(text))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return Container(path, kind, fields, _dtypes(path, kind, header), identity, source, content)


def is_of_kind(path: str | os.PathLike[str], kind: Kind) -> bool:
    """Whether a file's header names ``kind``; no where it cannot be read, which opening it will explain."""
    return kind_of(path, (kind,)) is not None


def kind_of(path: str | os.PathLike[str], kinds: Sequence[Kind]) -> Kind | None:
    """The first of ``kinds``, one at least, that a file's header names; None where it names none or cannot be read."""
    path, first = Path(path), kinds[0]
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with open(path, "rb") as file:
            text = _header_text(path, first, file, os.fstat(file.fileno()).st_size)
        header = parse_json(str(path), "the header", text, first.remedy, controls=True)
    except (OSError, InputError):
        return None
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        return None
    return next((kind for kind in kinds if kind.key in metadata), None)


def write_container(
    path: str | os.PathLike[str],
    kind: Kind,
    fields: Mapping[str, Any],
    tensors: Tensors,
    *,
    inputs: Iterable[Path | None] = (),
) -> None:
    """Writes a file whole or not at all. Equal arguments give equal bytes, whether a tensor is whole or streamed.

    Raises:
        InputError: the fields cannot be written as JSON, ``path`` is one of the ``inputs`` that the file is made from,
            or the file cannot be written.
    """
    text = description_text(kind, fields)
    whole = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    size = len(text) + sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    with atomic_path(path, size=size, inputs=inputs) as temporary:
        if len(whole) < len(tensors):
            write_streamed(temporary, {kind.key: text}, tensors)
            return
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in whole.items()}
        try:
            safetensors.torch.save_file(contiguous, temporary, metadata={kind.key: text})
        except safetensors.SafetensorError as error:
            raise InputError(f"cannot write {path}: {one_line(error)}") from error


def description_text(kind: Kind, fields: Mapping[str, Any]) -> str:
    """The description as a file keeps it.

    Raises:
        InputError: the fields cannot be written as JSON, or make too long a text.
    """
    try:
        text = json.dumps(
            {"format_version": kind.newest, **fields}, allow_nan=False, sort_keys=True, separators=(",", ":")
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the description of {kind.name} cannot be written as JSON: {one_line(error)}") from error
    parse_json(kind.name, "the description", text, "describe it otherwise")
    if len(text) > MAX_HEADER_BYTES // 2:
        raise InputError(
            f"the description of {kind.name} is too long: {len(text)} bytes, at most {MAX_HEADER_BYTES // 2}"
        )
    return text


def _header_text(path: Path, kind: Kind, file: BinaryIO, size: int) -> bytes:
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if length < 2 or length > max(MAX_HEADER_BYTES, size):
        raise InputError(f"{path} is not a .safetensors file: {kind.remedy}")
    if length > MAX_HEADER_BYTES:
        raise InputError(f"{path}: the header has {length} bytes, at most {MAX_HEADER_BYTES} are allowed")
    text = file.read(length)
    if len(text) < length:
        raise InputError(f"{path} ends in its header, it was cut short: {kind.again}")
    return text


def _description(path: Path, kind: Kind, header: dict[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get(kind.key) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        others = [key for key in metadata if _OURS.fullmatch(key)] if isinstance(metadata, dict) else []
        found = f", but {others[0]!r}, which `gsdd-rt info` tells of" if others else ""
        raise InputError(
            f"{path} is a .safetensors file but not {kind.name} (no metadata {kind.key!r}{found}): {kind.remedy}"
        )
    fields = parse_json(str(path), f"the metadata {kind.key!r}", text, kind.remedy)
    if not isinstance(fields, dict):
        raise InputError(f"{path}: the metadata {kind.key!r} must be a JSON object: {kind.again}")
    version = fields.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{path}: the format version must be a whole number from 1, got {version!r}: {kind.again}")
    if version > kind.newest:
        raise InputError(
            f"{path} is of format version {version}, this gsdd-rt reads up to {kind.newest}: upgrade gsdd-rt"
        )
    return fields


def _dtypes(path: Path, kind: Kind, header: dict[str, Any]) -> dict[str, str]:
    dtypes = {}
    for name, form in header.items():
        if name == "__metadata__":
            continue
        dtype = form.get("dtype") if isinstance(form, dict) else None
        if not isinstance(dtype, str):
            raise InputError(f"{path} is damaged (tensor {name!a} has no type): {kind.again}")
        dtypes[name] = dtype
    return dtypes
