"""Strict JSON, of which the descriptions in our files are made. Costs no more than the text is long."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from gsdd_runtime.errors import CONTROLS, InputError

# Deeper JSON is no description of anything.
MAX_JSON_DEPTH = 32


def parse_json(where: str, what: str, text: str | bytes, remedy: str, *, controls: bool = False) -> Any:
    """A JSON value: UTF-8, no key twice, no NaN or infinity, at most ``MAX_JSON_DEPTH`` deep, no control characters.

    Args:
        where, what: begin an error: the file, and which of its parts.
        text: the JSON.
        remedy: ends the error where the text is no JSON at all.
        controls: text in it may hold control characters.

    Raises:
        InputError: a rule is broken.
    """

    check = check_unicode if controls else check_text

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, value in pairs:
            if name in result:
                raise InputError(f"{where}: {what} has the key {name!a} twice")
            check(where, f"a key of {what}", name)
            result[name] = value
        return result

    def refuse(constant: str) -> NoReturn:
        raise InputError(f"{where}: {what} holds {constant}: numbers must be finite")

    def finite(number: str) -> float:
        value = float(number)
        if value in (float("inf"), float("-inf")):
            refuse(number[:40])
        return value

    try:
        decoded = text if isinstance(text, str) else text.decode()
        value = json.loads(decoded, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {what} is not valid JSON ({one_line(error)}): {remedy}") from error
    _check_value(where, what, value, MAX_JSON_DEPTH, check)
    return value


def check_text(where: str, name: str, text: str) -> None:
    """Text that a person may be shown: valid Unicode without anything that a terminal obeys (``errors.CONTROLS``).

    Raises:
        InputError: it is not.
    """
    check_unicode(where, name, text)
    if CONTROLS.search(text):
        raise InputError(f"{where}: {name} holds a control character: {text!a}")


def check_unicode(where: str, name: str, text: str) -> None:
    """Text that can be written as UTF-8: JSON can spell half of a surrogate pair, a file cannot hold it.

    Raises:
        InputError: it cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: {name} is not valid Unicode: {text!a}") from None


def one_line(error: BaseException) -> str:
    """What a library said, short enough for the middle of a message."""
    return " ".join(str(error).split())[:300]


def _check_value(where: str, what: str, value: Any, depth: int, check: Callable[[str, str, str], None]) -> None:
    if depth == 0:
        raise InputError(f"{where}: {what} is nested more than {MAX_JSON_DEPTH} deep")
    if isinstance(value, str):
        check(where, f"text in {what}", value)
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            _check_value(where, what, item, depth - 1, check)
