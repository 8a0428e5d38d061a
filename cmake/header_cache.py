"""Where fetched headers are kept: in the user's cache, outside every build folder, each set whole or not at all.

CMake looks for them there too (HeaderCache.cmake).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class UnavailableError(Exception):
    """A source has no headers for us; the message says why."""


def folder(name: str) -> Path:
    """Of the headers ``name``, whether or not they are there: ``~/.cache/gsdd-rt/name``, or in ``XDG_CACHE_HOME``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "gsdd-rt" / name


def keep(target: Path, headers: Mapping[str, bytes]) -> Path:
    """Writes the headers into the folder ``target``, which appears with all of them; a folder that is there stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for name, content in headers.items():
            (partial / name).write_bytes(content)
        partial.chmod(0o755)
        # Another build may have been faster; its headers are the same ones.
        with suppress(OSError):
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not target.is_dir():
        raise OSError(f"{target} cannot be written")
    return target
