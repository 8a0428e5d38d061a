"""Where the first images come from. A new start is one file here and one line in ``STARTS``."""

from __future__ import annotations

from gsdd_runtime.distillation.starts.color import ColorStart
from gsdd_runtime.distillation.starts.crops import CropsStart
from gsdd_runtime.distillation.starts.earlier_set import SetStart
from gsdd_runtime.distillation.starts.first import FirstStart
from gsdd_runtime.distillation.starts.herding import HerdingStart
from gsdd_runtime.distillation.starts.kmeans import KMeansStart
from gsdd_runtime.distillation.starts.random import RandomStart
from gsdd_runtime.distillation.starts.real import RealStart
from gsdd_runtime.distillation.starts.start import Source, Start, check_enough
from gsdd_runtime.errors import InputError

STARTS: dict[str, type[Start]] = {
    "real": RealStart,
    "first": FirstStart,
    "kmeans": KMeansStart,
    "herding": HerdingStart,
    "color": ColorStart,
    "random": RandomStart,
    "set": SetStart,
    "crops": CropsStart,
}

__all__ = ["STARTS", "Source", "Start", "check_enough", "known_starts", "start_of"]


def known_starts() -> str:
    """The starts as a user writes them."""
    return ", ".join(name if made.argument is None else f"{name}:{made.argument}" for name, made in STARTS.items())


def start_of(init: object) -> Start:
    """The start that ``init`` names, such as ``"real"`` or ``"set:FILE"``.

    Raises:
        InputError: there is none of that name, or an argument is missing or too much.
    """
    name, colon, argument = init.partition(":") if isinstance(init, str) else ("", "", "")
    made = STARTS.get(name)
    if made is None or (made.argument is None) == bool(colon) or bool(colon) != bool(argument):
        raise InputError(f"init {init!r} is not known: choose one of {known_starts()}")
    return made() if made.argument is None else made(argument)  # type: ignore[call-arg]
