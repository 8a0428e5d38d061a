"""Doing again what made a document of ``gsdd-rt eval --json``: what such a document is, and how results compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gsdd_runtime.commands.protocol import data_options, parse_names, sums_of
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.strict_json import parse_json


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# What a request must hold besides the data, and of which types: all of an evaluation but the machine.
_REQUEST: dict[str, tuple[type, ...]] = {
    "sets": (list,), "data": (dict,), "sizes": (list,), "networks": (list,), "recipe": (str, type(None)),
    "epochs": (int, type(None)), "learning_rate": (float, int, type(None)), "batch_size": (int, type(None)),
    "augment": (str, type(None)), "teacher": (str, type(None)), "repeats": (int,), "seed": (int,), "tests": (int,),
    "accuracy_at": (list,), "device": (str,),
}  # fmt: skip
# What each of a list in it must be.
_EACH: dict[str, Callable[[Any], bool]] = {
    "sets": lambda path: isinstance(path, str),
    "networks": lambda name: name is None or isinstance(name, str),
    "sizes": lambda size: size is None or (isinstance(size, list) and len(size) == 2 and all(map(_is_whole, size))),
    "accuracy_at": _is_whole,
}
_REMEDY = "give a document of gsdd-rt eval --json"


def repeated(before: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol of an earlier document, of the sets as they are now."""
    return {**before["protocol"], **sums_of(before["protocol"]["sets"])}


def earlier(path: Path, given: Sequence[str], networks: str | None, teacher: Path | None = None) -> dict[str, Any]:
    """A document of ``gsdd-rt eval --json`` whose protocol can be repeated.

    Args:
        path: of the document.
        given: options on the command line that would change the protocol.
        networks, teacher: as on the command line: to name one's own code again.

    Raises:
        InputError: it cannot be read or is no such document; an option that would change the protocol.
    """
    if given:
        raise InputError(f"--again repeats the protocol of {path}: leave {given[0]} out")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): {_REMEDY}") from error
    document = parse_json(str(path), "the document", text, _REMEDY, controls=True)
    protocol = document.get("protocol") if isinstance(document, dict) else None
    if not isinstance(protocol, dict) or not isinstance(document.get("results"), list):
        raise InputError(f"{path}: has no protocol: {_REMEDY}")
    for name, types in _REQUEST.items():
        if not isinstance(protocol.get(name, ...), types) or isinstance(protocol[name], bool):
            raise InputError(f"{path}: the protocol's {name} is missing or of another type: {_REMEDY}")
    for name, fits in _EACH.items():
        for one in protocol[name]:
            if not fits(one):
                raise InputError(f"{path}: the protocol's {name} has {repr(one)[:80]} in it: {_REMEDY}")
    _check_networks(path, protocol["networks"], networks)
    _check_teacher(path, protocol["teacher"], teacher)
    data_options(protocol)
    cells = len(protocol["sets"]) * len(protocol["networks"]) * len(protocol["sizes"])
    if len(_means(path, document["results"])) != cells:
        raise InputError(f"{path}: its results are not those of its protocol: {_REMEDY}")
    return document


def _check_networks(path: Path, named: list[Any], networks: str | None) -> None:
    from gsdd_runtime.networks.outside import is_bound

    if networks is not None and parse_names(networks) != named:
        raise InputError(f"--again repeats the protocol of {path}: leave --networks out")
    bound = next((name for name in named if isinstance(name, str) and is_bound(name)), None)
    if bound is not None and networks is None:
        raise InputError(
            f"{path} names the network {bound}, code of your own that is not run because a file names it: give "
            f"--networks {','.join(map(str, named))} too, if you trust it"
        )


def _check_teacher(path: Path, named: str | None, teacher: Path | None) -> None:
    from gsdd_runtime.networks.outside import own_code

    if teacher is not None and str(teacher) != named:
        raise InputError(f"--again repeats the protocol of {path}: leave --teacher out")
    own = None if named is None else own_code(named)[1]
    if own is not None and teacher is None:
        raise InputError(
            f"{path} names the teacher {own}, code of your own that is not run because a file names it: give "
            f"--teacher {named} too, if you trust it"
        )


def _means(path: Path, results: list[Any]) -> list[float]:
    """Last-epoch means of a document's results."""
    try:
        means = [result["last_epoch"]["mean"] for result in results]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: its results are not those of gsdd-rt eval --json: it was edited") from error
    if not all(isinstance(mean, float) and math.isfinite(mean) for mean in means):
        raise InputError(f"{path}: its results are not those of gsdd-rt eval --json: it was edited")
    return means


def compared(path: Path, before: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """How the results of a repeated protocol differ from those before, JSON values and a sentence."""
    old = _means(path, before["results"])
    pairs = list(zip(old, _means(path, document["results"]), strict=True))
    most = max((abs(now - then) for then, now in pairs), default=0.0)
    words = "the same to the last digit" if most == 0 else f"up to {100 * most:.2f} points away"
    if before["results"][0].get("versions") != document["results"][0]["versions"]:
        words += ", by other versions"
    same = before["protocol"].get("sha256") == document["protocol"]["sha256"]
    if not same:
        words += ", of sets that are other files by now"
    return {
        "document": str(path),
        "last_epoch_means_before": old,
        "largest_difference": most,
        "words": f"last-epoch accuracies are {words} to those of {path}",
        "same_sets": same,
    }
