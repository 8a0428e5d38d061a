"""Recipes: all options of a run by one name, with the figure to expect. A new recipe is one TOML file here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gsdd_runtime.distillation.declared import Declared
from gsdd_runtime.distillation.options import all_options, options_of_others
from gsdd_runtime.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
# What a recipe may say of the data, as the command line has it.
DATA: dict[str, type] = {
    "dataset": str, "size": str, "classes": str, "resize": str, "normalization": str, "zca": bool,
}  # fmt: skip
# What is the user's, and no recipe's.
_NEVER = ("seed", "device", "renderer")


@dataclass(frozen=True)
class Expected:
    """A figure that was reached.

    Attributes:
        accuracy: in per cent, on real test images.
        source: who reached it.
        protocol: how networks were trained and tested.
    """

    accuracy: float
    source: str
    protocol: str


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        name: of its file.
        title: what it is, in words.
        data: which real data, by the names of ``DATA``; what it leaves open is the user's to give.
        distill: options of ``distill``, by name.
        needs: what has to be given or made first, in words.
        expect: figures; none where none is known.
        cost: what it took, in words, where that was measured.
    """

    name: str
    title: str
    data: Mapping[str, Any]
    distill: Mapping[str, Any]
    needs: str | None = None
    expect: tuple[Expected, ...] = ()
    cost: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "title": self.title,
            "needs": self.needs,
            "data": dict(self.data),
            "distill": dict(self.distill),
            "expect": [vars(one).copy() for one in self.expect],
            "cost": self.cost,
        }


@dataclass(frozen=True)
class Chosen:
    """A recipe with what was given in place of some of it.

    Attributes:
        name: of the recipe.
        options: of ``distill``, those given included.
        changed: what was given in place of the recipe's, by name: its value and the one given.
        left: the recipe's options that the method, representation or coding given in place of its own has not.
    """

    name: str
    options: Mapping[str, Any]
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """For the set and the log."""
        places = {name for name, option in distill_options().items() if option.place}
        values = {name: value for name, value in self.options.items() if name not in {*places, *_NEVER}}
        return {"name": self.name, "values": values}

    def told(self) -> str:
        """What was chosen, in a line."""
        words = [f"{name} {now} in place of {before}" for name, (before, now) in self.changed.items()]
        left = f", and so without its {', '.join(self.left)}" if self.left else ""
        return f"recipe {self.name}{' with ' if words else ''}{', '.join(words)}{left}"


def recipe_names() -> tuple[str, ...]:
    """All recipes that there are."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InputError: there is none, or its file holds what no recipe may.
    """
    if name not in recipe_names():
        raise InputError(f"recipe {name!r} is not known: choose one of {', '.join(recipe_names())}")
    return parsed(name, (FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def parsed(name: str, text: str) -> Recipe:
    """A recipe from its TOML text.

    Raises:
        InputError: no TOML; a key that is not known; a value that its option may not have.
    """
    where = f"recipe {name!r}"
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: {error}") from error
    _check_keys(where, whole, ("title", "needs", "data", "distill", "expect", "cost"))
    data, distill = (_table(where, whole, part) for part in ("data", "distill"))
    _check_keys(f"{where}, data", data, DATA)
    for key, value in data.items():
        _check_kind(f"{where}, data: {key}", value, DATA[key])
    known = {one: option for one, option in distill_options().items() if one not in _NEVER}
    _check_keys(f"{where}, distill", distill, known)
    for key, value in distill.items():
        distill[key] = _checked(f"{where}, distill: {key}", known[key], value)
    return Recipe(
        name,
        _text(where, whole, "title") or name,
        data,
        distill,
        _text(where, whole, "needs"),
        tuple(_expected(f"{where}, expect", one) for one in whole.get("expect", [])),
        _text(where, whole, "cost"),
    )


def with_recipe(name: str, given: Mapping[str, Any]) -> Chosen:
    """The options of a recipe, with those ``given``; None stands for what was not given.

    Where another method, representation or coding is given, the recipe's options that it has not are left out.

    Raises:
        InputError: there is no such recipe; an unknown option, or a value that it may not have.
    """
    ours = load_recipe(name).distill
    given = {key: value for key, value in given.items() if value is not None}
    changed = {key: (ours[key], value) for key, value in given.items() if key in ours and ours[key] != value}
    whole = {**ours, **given}
    left = tuple(key for key in options_of_others(whole) if key not in given)
    return Chosen(name, {key: value for key, value in whole.items() if key not in left}, changed, left)


def setting_of(words: str) -> tuple[str, Any]:
    """``"learning_rate=2e-3"`` as a name and a value, of the options of data or of distilling.

    Raises:
        InputError: no such option, or a value of another kind.
    """
    name, equals, text = words.partition("=")
    name = name.strip().replace("-", "_")
    options = distill_options()
    if not equals or (name not in DATA and name not in options):
        raise InputError(f"--set: {words!r} sets no option: give key=value, key of {', '.join([*DATA, *options])}")
    kind = DATA[name] if name in DATA else options[name].kind
    value = _of_text(kind, text.strip())
    if value is None:
        raise InputError(f"--set: {name} takes {_KINDS[kind]}, got {text.strip()!r}")
    if name not in DATA:
        options[name].check(value)
    return name, value


def distill_options() -> dict[str, Declared]:
    """The options of every run and of every method and representation, by name."""
    return {name: owned[0].option for name, owned in all_options().items()}


_KINDS: dict[type, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path",
}  # fmt: skip


def _of_text(kind: type, text: str) -> Any:
    """A value from the command line; None where it is of another kind."""
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower())
    try:
        return kind(text) if text else None
    except ValueError:
        return None


def _table(where: str, whole: Mapping[str, Any], part: str) -> dict[str, Any]:
    table = whole.get(part, {})
    if not isinstance(table, dict):
        raise InputError(f"{where}: {part} must be a table, [{part}]")
    return dict(table)


def _text(where: str, whole: Mapping[str, Any], key: str) -> str | None:
    value = whole.get(key)
    if value is not None:
        _check_kind(f"{where}: {key}", value, str)
    return value


def _expected(where: str, one: Any) -> Expected:
    if not isinstance(one, dict):
        raise InputError(f"{where} must be tables, [[expect]]")
    kinds: dict[str, type] = {"accuracy": float, "source": str, "protocol": str}
    _check_keys(where, one, kinds)
    for key, kind in kinds.items():
        _check_kind(f"{where}: {key}", one.get(key), kind)
    return Expected(float(one["accuracy"]), one["source"], one["protocol"])


def _checked(where: str, option: Declared, value: Any) -> Any:
    _check_kind(where, value, option.kind)
    try:
        option.check(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return float(value) if option.kind is float else value


def _check_kind(where: str, value: Any, kind: type) -> None:
    """A whole number will do for a number; no bool is a number."""
    fits = isinstance(value, bool) if kind is bool else isinstance(value, (int, float) if kind is float else kind)
    if not fits or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{where} must be {_KINDS[kind]}, got {value!r}")


def _check_keys(where: str, table: Mapping[str, Any], known: Any) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"{where}: {key!r} is not known: choose one of {', '.join(known)}")
