"""What people may rely on: every name of ``gsdd_runtime``, its members, and the names that the documentation gives.

``python tests/public_api.py`` writes the list, tests/data/public-api.txt, anew: a line each, with its parameters.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import gsdd_runtime

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).parent / "data" / "public-api.txt"
DOTTED = re.compile(r"\bgsdd_runtime(?:\.[A-Za-z]\w*)+")
IMPORTED = re.compile(r"^\s*from (gsdd_runtime[\w.]*) import ([\w, ]+)$", re.MULTILINE)
# Pages for those who change gsdd-rt.
OF_THE_INSIDE = ("architecture.md", "adding-an-objective.md", "building.md", "gpu.md")
# Not defined here; a subclass of torch's or Python's own has those besides.
ELSEWHERE = ("torch", "builtins", "enum", "collections", "typing", "abc")


def resolve(name: str) -> Any:
    """What a dotted name stands for.

    Raises:
        AttributeError: nothing.
    """
    parts = name.split(".")
    found: Any = gsdd_runtime
    for depth, part in enumerate(parts[1:], 2):
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = import_module(".".join(parts[:depth]))
            except ModuleNotFoundError:
                raise AttributeError(f"there is no {name}") from None
    return found


def documented() -> set[str]:
    """Dotted names that pages, the README and examples tell people to use."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")]
    found = set()
    for text in (page.read_text() for page in pages if page.name not in OF_THE_INSIDE):
        found.update(DOTTED.findall(text))
        for module, names in IMPORTED.findall(text):
            found.update(f"{module}.{name.split(' as ')[0].strip()}" for name in names.split(","))
    return found


def names() -> list[str]:
    """Every public dotted name, modules aside: they are what holds them."""
    face = {f"gsdd_runtime.{name}" for name in gsdd_runtime.__all__ if not name.startswith("_")}
    chosen = face | {"gsdd_runtime.reference.splat"} | documented()
    return sorted(name for name in chosen if not inspect.ismodule(resolve(name)))


def members(name: str) -> Iterator[tuple[str, Any]]:
    """What a class of ours has that is not marked as private, by its dotted name."""
    thing = resolve(name)
    if not inspect.isclass(thing):
        return
    seen: set[str] = set()
    for home in thing.__mro__:
        if home.__module__.partition(".")[0] in ELSEWHERE:
            continue
        for part, value in vars(home).items():
            if part.startswith("_") or part in seen:
                continue
            seen.add(part)
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            function = getattr(function, "func", function)  # cached_property
            if inspect.isfunction(function):
                yield f"{name}.{part}", value if isinstance(value, property) else function


def everything() -> dict[str, Any]:
    """Each public name and member."""
    return {each: thing for name in names() for each, thing in [(name, resolve(name)), *members(name)]}


def parameters(thing: Any) -> list[inspect.Parameter]:
    if isinstance(thing, property) or not callable(thing):
        return []
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return []
    return [each for each in signature.parameters.values() if each.name not in ("self", "cls")]


def line(name: str, thing: Any) -> str:
    """A name, and how it is called: parameters, those that may be left out with ``=``, those by name after ``*``."""
    if isinstance(thing, property) or not callable(thing):
        return name
    told, by_name = [], False
    code = getattr(thing, "__code__", None)
    written = code.co_varnames if code and hasattr(thing, "__signature__") else None
    for each in parameters(thing):
        if written is not None and each.name not in written:
            # Declared elsewhere, and listed by docs/commands.md (distill's options).
            told.append("**options")
            break
        if each.kind is each.KEYWORD_ONLY and not by_name:
            told.append("*")
            by_name = True
        mark = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        by_name = by_name or each.kind is each.VAR_POSITIONAL
        told.append(mark + each.name + ("" if each.default is each.empty else "="))
    return f"{name}({', '.join(told)})"


def text() -> str:
    return "".join(f"{line(name, thing)}\n" for name, thing in sorted(everything().items()))


if __name__ == "__main__":
    LIST.write_text(text())
