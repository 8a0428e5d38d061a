"""Imports of scripts that are no package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def first_in_path(*folders: Path) -> Iterator[None]:
    """Modules are looked for in ``folders`` first, while the block lasts alone: other scripts have their names."""
    names = [str(folder) for folder in folders]
    sys.path[:0] = names
    try:
        yield
    finally:
        for name in names:
            sys.path.remove(name)
