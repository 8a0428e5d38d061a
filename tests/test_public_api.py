"""What people may rely on is a list; each name says what it takes, gives and raises, and a formula its source."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import public_api
import pytest

EVERYTHING = public_api.everything()
# What follows a formula of a paper or of the specification.
FORMULAS = (
    "gsdd_runtime.splat", "gsdd_runtime.reference.splat", "gsdd_runtime.storage_budget", "gsdd_runtime.distill",
    "gsdd_runtime.distillation.fit_images",
)  # fmt: skip
SOURCE = re.compile(r"arXiv|specification|section \d|equation")
SHAPE = re.compile(r"``\[\w|:meth:|as ``?\w+``? ")
# A form that a reader knows, or that the text around gives.
SIZES = {"height", "width", "size", "native_size"}


def says(thing: Any) -> str:
    """The docstring that a reader of ``thing`` sees, without what a dataclass writes by itself."""
    text = inspect.getdoc(thing) or ""
    if inspect.isclass(thing) and text.startswith(f"{thing.__name__}("):
        return ""
    # Where arguments are those of another name, that one tells them.
    other = re.search(r"those of :func:`([\w.]+)`", text)
    return text + (inspect.getdoc(public_api.resolve(other[1])) or "" if other else "")


def body(thing: Any) -> str:
    """Its own source; a class's is its constructor."""
    function = thing.fget if isinstance(thing, property) else thing
    function = function.__init__ if inspect.isclass(function) else inspect.unwrap(function)
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""


def raised(thing: Any) -> set[str]:
    """Exceptions that its own body makes, but for those that say that the code is wrong."""
    found = set()
    for node in ast.walk(ast.parse(body(thing) or "pass")):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            found.add(node.exc.func.id)
    return found - {"AssertionError", "NotImplementedError", "StopIteration"}


def lacks_text(name: str, thing: Any) -> list[str]:
    return [] if len(says(thing)) >= 20 else ["has no docstring"]


def lacks_parameters(name: str, thing: Any) -> list[str]:
    named = [each.name for each in public_api.parameters(thing) if each.kind is not each.VAR_KEYWORD]
    if len(named) < 2 and not inspect.isclass(thing):
        return []
    return [f"does not say what {each} is" for each in named if not re.search(rf"\b{each}\b", says(thing))]


def lacks_shapes(name: str, thing: Any) -> list[str]:
    function = thing.fget if isinstance(thing, property) else thing
    told = getattr(function.__init__ if inspect.isclass(function) else function, "__annotations__", {})
    tensors = [each for each, kind in told.items() if re.search(r"\bTensor\b", str(kind))]
    return [f"gives no shape of {', '.join(tensors)}"] if tensors and not SHAPE.search(says(thing)) else []


def lacks_units(name: str, thing: Any) -> list[str]:
    sized = [each.name for each in public_api.parameters(thing) if each.name in SIZES]
    return [f"gives no unit of {', '.join(sized)}"] if sized and not re.search("pixel|size|image", says(thing)) else []


def lacks_errors(name: str, thing: Any) -> list[str]:
    return [f"does not say that it raises {each}" for each in sorted(raised(thing)) if each not in says(thing)]


def lacks_source(name: str, thing: Any) -> list[str]:
    return ["gives no source"] if name in FORMULAS and not SOURCE.search(says(thing)) else []


CHECKS = (lacks_text, lacks_parameters, lacks_shapes, lacks_units, lacks_errors, lacks_source)


def test_the_list_is_what_there_is() -> None:
    listed = public_api.LIST.read_text().splitlines()
    now = public_api.text().splitlines()
    gone, new = sorted(set(listed) - set(now)), sorted(set(now) - set(listed))
    assert (gone, new) == ([], []), (
        "people rely on these names (CONTRIBUTING.md): python tests/public_api.py lists anew"
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_name_says_what_it_is(check: Callable[[str, Any], list[str]]) -> None:
    assert {name: said for name, thing in EVERYTHING.items() if (said := check(name, thing))} == {}


class Bare:
    def __init__(self, images: Any, size: int) -> None:
        raise ValueError("never made")

    def draw(self, images: torch.Tensor, size: int) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Draws what it was given."""


def test_what_is_lacking_is_seen() -> None:
    assert lacks_text("Bare", Bare) == ["has no docstring"]
    assert lacks_parameters("Bare", Bare) == ["does not say what images is", "does not say what size is"]
    assert lacks_errors("Bare", Bare) == ["does not say that it raises ValueError"]
    assert lacks_shapes("draw", Bare.draw) == ["gives no shape of images"]
    assert lacks_units("draw", Bare.draw) == ["gives no unit of size"]
    assert lacks_source(FORMULAS[0], Bare.draw) == ["gives no source"]
    assert len(EVERYTHING) > 70
