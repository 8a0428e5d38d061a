"""Where the native libraries are, and loading the torch one."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from gsdd_runtime.errors import InputError, LibraryNotBuiltError

LIBRARIES = {
    "torch": "libgsdd_torch.so",
    "onnxruntime": "libgsdd_onnxruntime.so",
    "tensorrt": "libgsdd_tensorrt.so",
    "dali": "libgsdd_dali.so",
}

_REMEDIES = {
    "torch": "run `make build` in a checkout, or install a wheel of gsdd-rt",
    "onnxruntime": "build with the ONNX Runtime headers at hand (docs/building.md)",
    "tensorrt": "build with nvcc and the TensorRT headers at hand (docs/tensorrt.md)",
    "dali": "run `make dali build` in a checkout (docs/dali.md)",
}


def installed_file(*parts: str) -> Path | None:
    """The file of the installed package at ``parts``, or None.

    An editable install spreads the package over two folders, so every entry of its path is tried.
    """
    spec = find_spec("gsdd_runtime")
    for folder in spec.submodule_search_locations or () if spec else ():
        candidate = Path(folder, *parts)
        if candidate.is_file():
            return candidate
    return None


def plugin_library(runtime: str) -> Path:
    """The path of the native library for ``"torch"``, ``"onnxruntime"``, ``"tensorrt"`` or ``"dali"``.

    The environment variable ``GSDD_PLUGIN_DIR`` names a folder that is searched before the installed package.

    Raises:
        InputError: no such runtime.
        LibraryNotBuiltError: the library is not there; the message says how to get it.
    """
    if runtime not in LIBRARIES:
        raise InputError(f"no plugin library for {runtime!r}: choose one of {', '.join(LIBRARIES)}")
    name = LIBRARIES[runtime]
    override = os.environ.get("GSDD_PLUGIN_DIR")
    if override:
        candidate = Path(override, name)
        if candidate.is_file():
            return candidate
    found = installed_file("lib", name)
    if found is None:
        raise LibraryNotBuiltError(f"{name} is not built: {_REMEDIES[runtime]}")
    return found


@lru_cache(maxsize=1)
def load_torch_library() -> Path:
    """Loads the torch door once and returns its path; processes forked afterwards compute with one thread.

    Raises:
        LibraryNotBuiltError: it is not there, or this torch cannot load it.
    """
    import torch

    path = plugin_library("torch")
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        raise LibraryNotBuiltError(
            f"torch {torch.__version__} cannot load {path}: {error}. "
            "gsdd-rt needs torch 2.10 or newer; rebuild with `make build` if it is"
        ) from error
    # A forked process has none of the threads that PyTorch computed with: asking for them would wait for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
    return path
