"""Which classes are read, in which order and by which names: ``--classes``.

Named subsets of ImageNet are those of two repositories (``utils.py``, numbers of classes by sorted WordNet id):
GeorgeCazenavette/mtt-distillation (50dccea) for ``nette`` to ``squawk``, GeorgeCazenavette/glad (fe62863) for ``a`` to
``e``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.sets.strict_json import check_text
from gsdd_runtime.splatting.native import installed_file

SUBSETS: dict[str, tuple[int, ...]] = {
    "nette": (0, 217, 482, 491, 497, 566, 569, 571, 574, 701),
    "woof": (193, 182, 258, 162, 155, 167, 159, 273, 207, 229),
    "fruit": (953, 954, 949, 950, 951, 957, 952, 945, 943, 948),
    "yellow": (309, 986, 954, 951, 987, 779, 599, 291, 72, 11),
    "meow": (281, 282, 283, 284, 285, 291, 292, 290, 289, 287),
    "squawk": (84, 130, 88, 144, 145, 22, 96, 9, 100, 89),
    "a": (255, 376, 984, 364, 500, 986, 333, 576, 148, 135),
    "b": (129, 916, 90, 275, 995, 874, 102, 259, 685, 139),
    "c": (565, 94, 554, 535, 92, 392, 291, 136, 324, 11),
    "d": (9, 258, 13, 262, 19, 339, 321, 24, 93, 322),
    "e": (816, 96, 100, 145, 739, 713, 783, 76, 688, 326),
}
# All classes that are there, ImageNet's by readable names.
EVERY = "imagenet"
_LISTED = 8
_MAX_FILE = 1 << 20


@dataclass(frozen=True)
class Chosen:
    """One class: what it is called where it is read from, and its name."""

    key: str
    name: str


@cache
def imagenet_names() -> dict[str, str]:
    """The readable name of each of the 1,000 classes of ImageNet, by WordNet id, sorted by that.

    Raises:
        InputError: the package lacks its list.
    """
    file = installed_file("data", "imagenet-classes.txt")
    if file is None:
        raise InputError("the package lacks its list of ImageNet's classes: install gsdd-rt again")
    return dict(line.split(" ", 1) for line in file.read_text(encoding="utf-8").splitlines())


def choose_classes(wanted: str | Sequence[str], there: Sequence[str], where: str) -> list[Chosen]:
    """The classes of ``there`` that are wanted, in the order in which they are asked for.

    Args:
        wanted: the name of a subset, ``imagenet`` for all, names with commas between them, the path of a file with a
            name in each line (and behind a tab the one to show), or names. A name is that of a folder, a WordNet id or
            the readable name of one. A class of ``there`` called as a subset comes before the subset.
        there: the classes that there are.
        where: whose, for messages.

    Raises:
        InputError: none is asked for, one that is not there, one twice, two of one name; the file cannot be read.
    """
    names = imagenet_names()
    if wanted == EVERY and EVERY not in there:
        return [Chosen(key, names.get(key, key)) for key in there]
    by_name = {name.lower(): wordnet for wordnet, name in names.items()}
    chosen = []
    for asked, shown in _asked(wanted, there):
        other = by_name.get(asked.lower()) or names.get(asked)
        key = next((key for key in (asked, other) if key in there), None)
        if key is None:
            several = f"{', '.join(there[:_LISTED])}{' and more' if len(there) > _LISTED else ''}"
            called = f"{asked} ({names[asked]})" if asked in names else asked
            raise InputError(f"{where} has no class {called!r} (--classes): it has {several}")
        chosen.append(Chosen(key, shown or names.get(key, key)))
    if not chosen:
        raise InputError("--classes names no class: give a subset, names with commas between them, or a file of names")
    for what, values in (("class", [one.key for one in chosen]), ("name", [one.name for one in chosen])):
        twice = next((value for at, value in enumerate(values) if value in values[:at]), None)
        if twice is not None:
            raise InputError(f"--classes has the {what} {twice!r} twice: give each once")
    return chosen


def _asked(wanted: str | Sequence[str], there: Sequence[str]) -> list[tuple[str, str | None]]:
    """What is asked for, each with the name to show where one is given."""
    if not isinstance(wanted, str):
        if not all(isinstance(one, str) for one in wanted):
            raise InputError("classes must be a text or a list of names")
        return [(one, None) for one in wanted]
    if wanted in SUBSETS and wanted not in there:
        ids = list(imagenet_names())
        return [(ids[number], None) for number in SUBSETS[wanted]]
    if wanted not in there and Path(wanted).is_file():
        return _listed(Path(wanted))
    if wanted in there:
        return [(wanted, None)]
    return [(one.strip(), None) for one in wanted.split(",") if one.strip()]


def _listed(path: Path) -> list[tuple[str, str | None]]:
    try:
        with reading(path), open(path, encoding="utf-8") as file:
            text = file.read(_MAX_FILE + 1)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text (--classes): give a name in each line") from error
    if len(text) > _MAX_FILE:
        raise InputError(f"{path} is more than {_MAX_FILE} characters (--classes): give a name in each line")
    asked: list[tuple[str, str | None]] = []
    for line in text.splitlines():
        key, _, name = line.partition("\t")
        check_text(str(path), "a class's name", key + name)
        if key.strip():
            asked.append((key.strip(), name.strip() or None))
    return asked
