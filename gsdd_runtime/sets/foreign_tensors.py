"""Tensors that another program saved, read without running what a file holds."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.sets.strict_json import one_line


def read_foreign(path: Path, read: Callable[[], Any], *, holds: str, kind: str, give: str, larger: str) -> Any:
    """What ``read`` gives of an ordinary file that memory holds twice.

    Args:
        path: of the file.
        read: reads it.
        holds: what it may hold, in words.
        kind: of file, in words.
        give: what to do where it holds more or is damaged.
        larger: what to do where there is too little memory.

    Raises:
        InputError: it cannot be read, is no ordinary file, holds more, is damaged, or does not fit.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not an ordinary file: give {kind}")
        check_memory(2 * status.st_size, f"reading {path}", larger)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
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
