"""Whether gsplat can be used here, without ever starting the compilation that its wheel does at first use.

gsplat 1.5.3 compiles for minutes when ``gsplat.cuda._backend`` is imported and its compiled part is missing, so that
module is imported only where the part is there: in the wheel (``gsplat.csrc``), or compiled by an earlier use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_BACKEND = "gsplat.cuda._backend"
_COMPILED_AS = "gsplat_cuda"


@lru_cache(maxsize=1)
def gsplat_problem() -> str | None:
    """Why gsplat cannot be used here, and what to do; None where it can. What gsplat prints goes to stderr."""
    with redirect_stdout(sys.stderr):
        try:
            gsplat = import_module("gsplat")
        except Exception as error:  # a broken installation raises one of several
            return f"gsplat cannot be imported ({' '.join(str(error).split())}): pip install 'gsdd-rt[gsplat]'"
        if not (hasattr(gsplat, "isect_tiles") and hasattr(gsplat, "isect_offset_encode")):
            return "the installed gsplat has no isect_tiles: pip install 'gsplat>=1.5.3'"
        version = getattr(gsplat, "__version__", "")
        try:
            compiled = _compiled_part()
        except Exception as error:  # the loader's, or gsplat's own
            why = " ".join(str(error).split())[:300]
            return f"the compiled part of gsplat {version} does not load ({why}): compile it again, {_how()}"
    if compiled is None:
        return f"gsplat {version} is installed without its compiled part: compile it once, {_how()}"
    return None


def _how() -> str:
    return f"which takes nvcc and minutes: python -c 'from {_BACKEND} import _C'"


def _compiled_part() -> Any:
    """gsplat's extension module, or None where it is not there."""
    if _BACKEND not in sys.modules:
        if find_spec("gsplat.csrc") is not None:
            # By itself first: where it fails, the backend would go on to compile.
            import_module("gsplat.csrc")
        elif not _was_compiled():
            return None
    with _no_compilation():
        return getattr(import_module(_BACKEND), "_C", None)


def _was_compiled() -> bool:
    """Whether an earlier use has left the extension where gsplat and torch keep it."""
    from torch.utils import cpp_extension

    try:
        folder = cpp_extension._get_build_directory(_COMPILED_AS, verbose=False)
    except OSError:
        return False
    return os.path.exists(os.path.join(folder, f"{_COMPILED_AS}.so"))


@contextmanager
def _no_compilation() -> Iterator[None]:
    """The backend takes an OSError of torch's compiler to mean that the extension is compiled, and loads it."""
    cpp_extension: Any = import_module("torch.utils.cpp_extension")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError("gsdd-rt compiles nothing")

    compiles = cpp_extension._jit_compile
    cpp_extension._jit_compile = refuse
    try:
        yield
    finally:
        cpp_extension._jit_compile = compiles
