"""Tensors that another program saved, read without running what a file holds."""

from __future__ import annotations

import os
import stat
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.sets.strict_json import one_line
from gsdd_runtime.wording import bytes_in_words

# Tensors may be views that repeat what they are of; beyond twice the file and this much it is no set of images.
_SPARE_FACTOR, _SPARE_BYTES = 2, 1 << 26
_MAX_DEPTH = 32


def read_foreign(path: Path, read: Callable[[], Any], *, holds: str, kind: str, give: str, larger: str) -> Any:
    """What ``read`` gives of an ordinary file that memory holds twice, unpacked: plain tensors in plain containers.

    Args:
        path: of the file.
        read: reads it.
        holds: what it may hold, in words.
        kind: of file, in words.
        give: what to do where it holds more or is damaged.
        larger: what to do where there is too little memory.

    Raises:
        InputError: it cannot be read, is no ordinary file, holds more, is damaged, or does not fit; a tensor in it is
            sparse, quantized, complex or without numbers, or repeats its numbers to far more than the file holds.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not an ordinary file: give {kind}")
        size = max(status.st_size, _unpacked(path))
        check_memory(2 * size, f"reading {path}", larger)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read()
        _Held(path, give).check(found, _SPARE_FACTOR * size + _SPARE_BYTES)
        return found
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or one_line(error)}") from error
    # The unpickler raises nearly anything on what it does not allow, and so do readers on damaged files.
    except Exception as error:
        raise InputError(f"{path} holds more than {holds}, or is damaged ({one_line(error)[:200]}): {give}") from error


def read_tensors(path: Path, *, holds: str, kind: str, give: str, larger: str) -> Any:
    """Tensors in plain containers, of a file that ``torch.save`` wrote; as :func:`read_foreign`."""
    return read_foreign(
        path, lambda: torch.load(path, map_location="cpu", weights_only=True),
        holds=holds, kind=kind, give=give, larger=larger,
    )  # fmt: skip


def _unpacked(path: Path) -> int:
    """Bytes of all files in a zip, which .npz and .pt are; 0 of anything else."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(info.file_size for info in archive.infolist())


class _Held:
    """What a file holds, looked through before anybody computes with it.

    Args:
        path: of the file.
        give: what to do where it holds something else.
    """

    def __init__(self, path: Path, give: str) -> None:
        self._path, self._give = path, give
        self._size = 0
        self._seen: set[int] = set()

    def check(self, found: Any, most: int) -> None:
        """Raises InputError for other tensors than plain ones, and for those that take more than ``most`` bytes."""
        self._visit(found, _MAX_DEPTH)
        if self._size > most:
            raise InputError(
                f"{self._path} holds tensors that repeat their numbers to {bytes_in_words(self._size)}, far more than "
                f"its own size: {self._give}"
            )

    def _visit(self, value: Any, depth: int) -> None:
        if depth == 0:
            raise InputError(f"{self._path} is nested more than {_MAX_DEPTH} deep: {self._give}")
        if isinstance(value, Tensor):
            self._visit_tensor(value)
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in self._seen:
            for item in value.values() if isinstance(value, Mapping) else value:
                self._visit(item, depth - 1)
            # Not before: a list that holds itself is never through.
            self._seen.add(id(value))

    def _visit_tensor(self, tensor: Tensor) -> None:
        if (
            type(tensor) not in (Tensor, nn.Parameter)
            or tensor.layout != torch.strided
            or tensor.device.type != "cpu"
            or tensor.is_quantized
            or tensor.is_nested
            or tensor.is_complex()
        ):
            raise InputError(
                f"{self._path} holds a tensor that is no plain one of real numbers (sparse, quantized, complex or "
                f"without numbers): {self._give}"
            )
        self._size += tensor.numel() * tensor.element_size()
