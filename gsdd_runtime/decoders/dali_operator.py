"""DALI: finding it, and giving it our operator, ``fn.gsdd.gaussian_splat``.

DALI's C++ interface makes no promise from one version to the next, so the library serves the version that it was built
for, and is not loaded into another: it says which in its own bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from gsdd_runtime.errors import GsddError, LibraryNotBuiltError
from gsdd_runtime.splatting.native import plugin_library

_BUILT_FOR = re.compile(rb"GSDD_DALI_VERSION=([0-9A-Za-z.+-]+)\0")


def dali_problem() -> str | None:
    """Why DALI cannot be used here, and what to do; None where it can be imported."""
    # The folder `nvidia` is shared by many wheels: a module of DALI's own has to be in it.
    if find_spec("nvidia") is None or find_spec("nvidia.dali") is None:
        return "DALI is not installed: run `make dali` in a checkout, or pip install nvidia-dali-cuda130 (docs/dali.md)"
    return None


def built_for(library: Path) -> str:
    """The version of DALI that a library of ours was built for.

    Raises:
        LibraryNotBuiltError: it is no library of ours, or cannot be read.
    """
    try:
        found = _BUILT_FOR.search(library.read_bytes())
    except OSError as error:
        raise LibraryNotBuiltError(f"cannot read {library}: {error.strerror}") from error
    if found is None:
        raise LibraryNotBuiltError(f"{library} is no library of ours for DALI: build it again with `make dali build`")
    return found[1].decode()


@lru_cache(maxsize=1)
def load_operator() -> ModuleType:
    """Loads the library into DALI once a process, and returns ``nvidia.dali``.

    Raises:
        GsddError: DALI is not installed, or cannot be imported.
        LibraryNotBuiltError: the library is not there, is of another version of DALI, or cannot be loaded.
    """
    problem = dali_problem()
    if problem is not None:
        raise GsddError(problem)
    path = plugin_library("dali")
    version = built_for(path)
    try:
        from nvidia import dali
        from nvidia.dali import plugin_manager
    except ImportError as error:
        raise GsddError(f"DALI cannot be imported ({error}): install what it needs (docs/dali.md)") from error
    if dali.__version__ != version:
        raise LibraryNotBuiltError(
            f"{path} was built for DALI {version}, and this is {dali.__version__}: build it again with "
            f"`make dali build`, or pip install nvidia-dali-cuda130=={version}"
        )
    try:
        plugin_manager.load_library(str(path))
    except RuntimeError as error:
        raise LibraryNotBuiltError(f"DALI {version} cannot load {path}: {error}") from error
    return dali
