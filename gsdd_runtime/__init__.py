"""gsdd-rt: distill image datasets into 2D Gaussians and decode them wherever people train and serve.

The public names load on first use, so that ``import gsdd_runtime`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gsdd_runtime.versions import VERSION

if TYPE_CHECKING:
    from gsdd_runtime.datasets import RealData, load_dataset
    from gsdd_runtime.distillation import distill
    from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
    from gsdd_runtime.evaluation.accuracy import evaluate
    from gsdd_runtime.loading.loader import DistilledLoader
    from gsdd_runtime.loading.map_dataset import DistilledDataset
    from gsdd_runtime.networks.model_file import load_model
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.splatting import reference
    from gsdd_runtime.splatting.gaussians import storage_budget
    from gsdd_runtime.splatting.native import plugin_library
    from gsdd_runtime.splatting.op import splat

__version__ = VERSION

_HOMES = {
    "DistilledDataset": "loading.map_dataset",
    "DistilledLoader": "loading.loader",
    "DistilledSet": "sets.distilled_set",
    "GsddError": "errors",
    "InputError": "errors",
    "LibraryNotBuiltError": "errors",
    "RealData": "datasets",
    "distill": "distillation",
    "evaluate": "evaluation.accuracy",
    "load_dataset": "datasets",
    "load_model": "networks.model_file",
    "plugin_library": "splatting.native",
    "reference": "splatting",
    "splat": "splatting.op",
    "storage_budget": "splatting.gaussians",
}

__all__ = [  # noqa: RUF022 - in the order a reader meets them
    "DistilledSet",
    "DistilledLoader",
    "DistilledDataset",
    "splat",
    "reference",
    "load_dataset",
    "RealData",
    "distill",
    "evaluate",
    "load_model",
    "storage_budget",
    "plugin_library",
    "GsddError",
    "InputError",
    "LibraryNotBuiltError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'gsdd_runtime' has no attribute {name!r}")
    if name == "reference":
        value: Any = import_module("gsdd_runtime.splatting.reference")
    else:
        value = getattr(import_module(f"gsdd_runtime.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
