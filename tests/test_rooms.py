"""Imports point down the list of rooms; docs/architecture.md draws it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    "commands", "bench", "evaluation", "distillation", "loading", "export", "experts", "training", "reports",
    "networks", "datasets", "decoders", "sets", "devices", "splatting", "memory", "seeds", "progress", "ranks",
    "atomic", "formats", "versions", "wording", "errors",
)  # fmt: skip
FACES = ("__init__", "__main__")


def room_of(module: str) -> str | None:
    """The room that a dotted name is in; None for the package's face or another package."""
    parts = module.split(".")
    return parts[1] if parts[0] == "gsdd_runtime" and len(parts) > 1 else None


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import, also of those inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "gsdd_runtime":
                yield from ((node.lineno, f"gsdd_runtime.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def climbs(room: str, source: str) -> list[str]:
    """What is wrong with the imports of a file in ``room``."""
    wrong = []
    for line, name in imported(source):
        if name == "gsdd_runtime":
            wrong.append(f"line {line} imports the package's face: import from the room")
        target = room_of(name)
        if target is None:
            continue
        if target not in ROOMS:
            wrong.append(f"line {line} imports {name}, which is no room")
        elif ROOMS.index(target) < ROOMS.index(room):
            wrong.append(f"line {line} imports {name}, which lies above {room}")
    return wrong


def files() -> list[tuple[str, Path]]:
    inside = [(path.relative_to(ROOT / "gsdd_runtime"), path) for path in (ROOT / "gsdd_runtime").rglob("*.py")]
    rooms = [(relative.parts[0].removesuffix(".py"), path) for relative, path in inside]
    return [pair for pair in rooms if pair[0] not in FACES] + [("export", p) for p in (ROOT / "export").glob("*.py")]


@pytest.mark.parametrize(("room", "path"), files(), ids=lambda value: None if isinstance(value, str) else value.stem)
def test_imports_point_down(room: str, path: Path) -> None:
    assert room in ROOMS, f"{path} is in no room of the list"
    assert climbs(room, path.read_text()) == []


def test_an_import_that_climbs_is_seen() -> None:
    assert climbs("sets", "def f():\n    from gsdd_runtime.networks import build") != []
    assert climbs("sets", "from gsdd_runtime import networks") != []
    assert climbs("sets", "import gsdd_runtime") != []
    assert climbs("networks", "from gsdd_runtime.sets.rows import select\nimport gsdd_runtime.errors") == []


def test_no_module_hides_a_public_function() -> None:
    import gsdd_runtime

    modules = {path.stem for path in (ROOT / "gsdd_runtime").iterdir()}
    assert modules.isdisjoint(gsdd_runtime.__all__)
