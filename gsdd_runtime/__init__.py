"""gsdd-rt: distill image datasets into 2D Gaussians and decode them wherever people train and serve.

The public names load on first use, so that ``import gsdd_runtime`` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsdd_runtime import reference
    from gsdd_runtime.distill import distill
    from gsdd_runtime.distilled_set import DistilledSet
    from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
    from gsdd_runtime.evaluate import evaluate
    from gsdd_runtime.gaussians import storage_budget
    from gsdd_runtime.loader import DistilledLoader
    from gsdd_runtime.loading.map_dataset import DistilledDataset
    from gsdd_runtime.native import plugin_library
    from gsdd_runtime.splat import splat

__version__ = "0.1.0"

_HOMES = {
    "DistilledDataset": "loading.map_dataset",
    "DistilledLoader": "loader",
    "DistilledSet": "distilled_set",
    "GsddError": "errors",
    "InputError": "errors",
    "LibraryNotBuiltError": "errors",
    "distill": "distill",
    "evaluate": "evaluate",
    "plugin_library": "native",
    "splat": "splat",
    "storage_budget": "gaussians",
}

__all__ = [  # noqa: RUF022 - in the order a reader meets them
    "DistilledSet",
    "DistilledLoader",
    "DistilledDataset",
    "splat",
    "reference",
    "distill",
    "evaluate",
    "storage_budget",
    "plugin_library",
    "GsddError",
    "InputError",
    "LibraryNotBuiltError",
]


def __getattr__(name: str) -> Any:
    if name == "reference":
        return import_module("gsdd_runtime.reference")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'gsdd_runtime' has no attribute {name!r}")
    value = getattr(import_module(f"gsdd_runtime.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps ``splat``, ``distill`` and ``evaluate`` functions although modules of these names exist.

    The import system binds a submodule to its package once it is loaded, which would hide the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
