"""Options declared once, as the fields of a dataclass: default, help text, range and choices.

The command line, the documentation's table, the signature of ``distill`` and the checks are made from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_type_hints

from gsdd_runtime.errors import InputError

_KEY = "option"


@dataclass(frozen=True)
class Declared:
    """One option.

    Attributes:
        name: as Python spells it; the command line writes it with dashes.
        kind: int, float, str, bool or Path.
        default: None where it depends on the data or on other options.
        help: one line for people.
        least, most: of a whole number.
        above: of a number, which it has to exceed.
        choices: what a text may be.
        shown: the default in words, where it is None.
        resume: what a resumed run may do to it, as :func:`option` says; None where it decides the result.
        place: it names a place of this machine, which is no part of a run's record.
    """

    name: str
    kind: type
    default: Any
    help: str
    least: int | None = None
    most: int | None = None
    above: float | None = None
    choices: Callable[[], tuple[str, ...]] | None = None
    shown: str | None = None
    resume: str | None = None
    place: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        if self.shown is not None:
            return self.shown
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    @property
    def words(self) -> str:
        """The help text, with the choices where there are any."""
        return self.help if self.choices is None else f"{self.help} One of {', '.join(self.choices())}."

    def check(self, value: object) -> None:
        """Raises InputError unless ``value`` is one that the option may have; None stands for a default."""
        if value is None and self.default is None:
            return
        if self.choices is not None:
            known = self.choices()
            if not isinstance(value, str) or value not in known:
                raise InputError(f"{self.name} {value!r} is not known: choose one of {', '.join(known)}")
        elif self.kind is int:
            check_whole_number(self.name, value, self.least or 0)
            if self.most is not None and isinstance(value, int) and value > self.most:
                raise InputError(f"{self.name} must be at most {self.most}, got {value}")
        elif self.kind is float:
            check_number(self.name, value, zero=self.above is None)


def option(
    default: Any,
    help: str,
    *,
    least: int | None = None,
    most: int | None = None,
    above: float | None = None,
    choices: Callable[[], tuple[str, ...]] | None = None,
    shown: str | None = None,
    resume: str | None = None,
    place: bool = False,
) -> Any:
    """A dataclass field that is an option.

    Args:
        default: its value where it is not given; None where that depends on the data or on other options.
        help: one line for people, without the default.
        least, most: of a whole number, which is at least 0 where nothing else is said.
        above: 0 for a number that may not be 0.
        choices: gives what a text may be. A function, as registries are filled after this file is read.
        shown: the default in words.
        resume: ``"change"``, ``"raise"`` or ``"lower"``, where a resumed run may do so.
        place: it names a place of this machine: what is there decides the result, and is recorded in its stead.
    """
    told = {
        "help": help,
        "least": least,
        "most": most,
        "above": above,
        "choices": choices,
        "shown": shown,
        "resume": resume,
        "place": place,
    }
    return field(default=default, metadata={_KEY: told})


def declared(options: type) -> tuple[Declared, ...]:
    """The options that a dataclass declares, in its order."""
    hints = get_type_hints(options)
    return tuple(
        Declared(one.name, _kind(hints[one.name]), one.default, **one.metadata[_KEY])
        for one in fields(options)
        if _KEY in one.metadata
    )


def taken(options: type, given: Mapping[str, Any]) -> Any:
    """``options`` filled with those of ``given`` that it declares, each checked; None stands for a default.

    Raises:
        InputError: a value of another type or out of range.
    """
    chosen = {}
    for one in declared(options):
        value = given.get(one.name)
        if value is not None:
            one.check(value)
            chosen[one.name] = value
    return options(**chosen)


def check_whole_number(option: str, value: object, least: int) -> None:
    """Raises InputError unless ``value`` is a whole number of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{option} must be a whole number of at least {least}, got {value!r}")


def check_number(option: str, value: object, *, zero: bool = False) -> None:
    """Raises InputError unless ``value`` is a finite number above 0, or 0 where ``zero``."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not known or value < 0 or (value == 0 and not zero):  # type: ignore[operator]
        raise InputError(f"{option} must be {'0 or ' if zero else ''}a number above 0, got {value!r}")


def _kind(hint: Any) -> type:
    """What a field is besides None."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] or [hint]
    return kinds[0]
