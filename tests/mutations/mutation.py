"""One change to the code that a test has to notice, and how it is put into a copy of the package."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / "tests"))

from copied_package import FOLDERS  # noqa: E402


@dataclass(frozen=True)
class Mutation:
    """A change that must not go unnoticed.

    Attributes:
        name: what the changed code does, as a sentence without its end.
        file: that is changed, from the checkout's root.
        old, new: a piece of it that occurs once, and what takes its place.
        tests: that have to notice: files of ``tests/``, or ``file.py::test``, or ``file.py::test[case]``.
        short: it is on the list that CI runs.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    short: bool = False


class StaleError(Exception):
    """A mutation does not fit the code any more."""


def mutated(mutation: Mutation, text: str) -> str:
    """``text``, the content of the mutation's file, with the change made.

    Raises:
        StaleError: the old text is not there, or is there more than once, or nothing is changed.
    """
    count = text.count(mutation.old)
    if count != 1:
        raise StaleError(f"{mutation.name}: its old text occurs {count} times in {mutation.file}, not once")
    if mutation.old == mutation.new:
        raise StaleError(f"{mutation.name}: it changes nothing")
    return text.replace(mutation.old, mutation.new)


def place_in(copy: Path, file: str) -> Path:
    """Where the copy of the package has a file of the checkout."""
    folder, _, rest = file.partition("/")
    return copy / FOLDERS[folder] / rest


def check(mutation: Mutation) -> None:
    """Raises StaleError unless the mutation fits the checkout: its text, and the tests that it names."""
    path = CHECKOUT / mutation.file
    if not path.is_file():
        raise StaleError(f"{mutation.name}: there is no file {mutation.file}")
    mutated(mutation, path.read_text())
    if not mutation.tests:
        raise StaleError(f"{mutation.name}: it names no test")
    for name in mutation.tests:
        file, _, function = name.partition("[")[0].partition("::")
        source = CHECKOUT / "tests" / file
        if not source.is_file():
            raise StaleError(f"{mutation.name}: there is no test file {file}")
        if function and not re.search(rf"^def {re.escape(function)}\(", source.read_text(), re.MULTILINE):
            raise StaleError(f"{mutation.name}: {file} has no test {function}")
