"""TensorRT and TensorRT-RTX: finding them, and giving them our plugins.

A network with our plugins can be parsed, and an engine with them deserialised, only after the plugin library
is loaded. Both sides, the exporter and the decoder, do it by :func:`load_plugin_library`.
"""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.native import plugin_library

# Python modules that each builder may be installed as, the preferred one first.
MODULES = {"tensorrt": ("tensorrt",), "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}

_INSTALL = (
    "install TensorRT (pip install 'gsdd-rt[tensorrt]') or TensorRT-RTX "
    "(pip install tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings)"
)


def installed_module(builder: str) -> tuple[str, str] | None:
    """The builder and the name of its Python module, or None where none is installed.

    Args:
        builder: ``"tensorrt"``, ``"tensorrt-rtx"``, or ``"auto"``: TensorRT where it is installed, else
            TensorRT-RTX.

    Raises:
        InputError: no such builder.
    """
    if builder != "auto" and builder not in MODULES:
        raise InputError(f"no builder {builder!r}: choose auto, {' or '.join(MODULES)}")
    for name in MODULES if builder == "auto" else (builder,):
        for module in MODULES[name]:
            spec = find_spec(module)
            # A folder that happens to have the name is found too, without an origin.
            if spec is not None and spec.origin is not None:
                return name, module
    return None


def require_module(builder: str) -> tuple[str, str]:
    """:func:`installed_module`, or an error that says how to get one.

    Raises:
        InputError: no such builder.
        GsddError: it is not installed.
    """
    found = installed_module(builder)
    if found is None:
        wanted = "neither TensorRT nor TensorRT-RTX" if builder == "auto" else f"no {builder}"
        raise GsddError(f"{wanted} is installed: {_INSTALL}")
    return found


def make_logger(trt: ModuleType) -> Any:
    """An ``ILogger`` of the module ``trt`` whose ``errors`` are the messages of that severity or worse, in order."""

    class Logger(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(" ".join(message.split()))

    return Logger()


def load_plugin_library(trt: ModuleType, logger: Any) -> None:
    """Registers ``gsdd::GaussianSplat`` and its gradient with the TensorRT of the module ``trt``, once a process.

    Args:
        trt: the imported module, ``tensorrt`` or one of TensorRT-RTX's.
        logger: of :func:`make_logger`.

    Raises:
        LibraryNotBuiltError: the plugin library is not there, or this TensorRT cannot load it.
    """
    registry = trt.get_plugin_registry()
    if _registered(registry):
        return
    path = plugin_library("tensorrt")
    try:
        # TensorRT does not say why it cannot open a library; the loader does.
        if not hasattr(ctypes.CDLL(str(path)), "getCreators"):
            logger.errors.append("it is no plugin library")
        else:
            registry.load_library(str(path))
    except Exception as error:  # the bindings raise what they like
        logger.errors.append(str(error))
    if not _registered(registry):
        raise LibraryNotBuiltError(f"{trt.__name__} {trt.__version__} cannot load {path}: {reason(logger)}")


def _registered(registry: Any) -> bool:
    wanted = {(name, contract.DOMAIN, str(contract.VERSION)) for name in contract.read()["ops"]}
    creators = {(c.name, c.plugin_namespace, c.plugin_version) for c in registry.all_creators}
    return wanted <= creators


def reason(logger: Any, *others: str) -> str:
    """Why something failed: what our plugins logged; else ``others``, the first and the last that was logged."""
    ours = [error for error in logger.errors if error.startswith(f"{contract.DOMAIN}::")]
    errors = ours or [*others, *logger.errors[:1], *logger.errors[-1:]]
    return "; ".join(dict.fromkeys(errors)) or "it gave no reason"
