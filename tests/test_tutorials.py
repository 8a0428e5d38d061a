"""The tutorials of docs/ are run: each command and each program, in the order of the page, in one folder.

A block of kind ``text`` is what the block above it prints, ``...`` standing for what differs between machines.
``<!-- needs: MARKER -->`` in a page: what follows needs what the marker of tests/conftest.py says.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tensorrt_models import plugins, skip_without_engines  # noqa: F401 - plugins is a fixture

from gsdd_runtime.commands.cli import run

CHECKOUT = Path(__file__).parent.parent
PAGES = sorted((CHECKOUT / "docs").glob("tutorial-*.md"))
_PIECE = re.compile(r"<!-- needs: (\w+) -->|^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

Blocks = list[tuple[str, str]]


def parts(text: str) -> list[tuple[list[str], Blocks]]:
    """The markers that each part of a page needs, and all blocks up to its end; a part without blocks is none."""
    found: list[tuple[list[str], Blocks]] = []
    needed: list[str] = []
    blocks: Blocks = []
    for marker, kind, block in _PIECE.findall(text):
        if marker:
            needed = [*needed, marker]
            continue
        blocks = [*blocks, (kind, block)]
        found = [*(part for part in found if part[0] != needed), (needed, blocks)]
    return found


def pattern_of(text: str) -> str:
    return re.escape(text.strip()).replace(re.escape("..."), "[^\n]*")


def follow(blocks: Blocks, capsys: pytest.CaptureFixture[str]) -> None:
    """Does what the blocks of a page say, in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for kind, block in blocks:
        capsys.readouterr()
        if kind == "text":
            assert re.search(pattern_of(block), printed), f"{block}is not what was printed:\n{printed}"
            continue
        if kind == "python":
            exec(compile(block, "tutorial", "exec"), names)
        else:
            assert kind == "sh", f"a block of kind {kind} is not run"
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                assert words[0] == "gsdd-rt", line
                assert run(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
        printed = capsys.readouterr().out


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a checkout has that pages name."""
    (tmp_path / "distilled").mkdir()
    for path in (CHECKOUT / "distilled").glob("*.safetensors"):
        (tmp_path / "distilled" / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUNS = [
    pytest.param(needed, blocks, id="-".join([path.stem, *needed]), marks=[getattr(pytest.mark, one) for one in needed])
    for path in PAGES
    for needed, blocks in parts(path.read_text())
]


@pytest.mark.parametrize(("needed", "blocks"), RUNS)
def test_a_tutorial_does_what_it_says(
    needed: list[str],
    blocks: Blocks,
    checkout: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if "tensorrt" in needed and "cuda" in needed:
        skip_without_engines()
    elif "tensorrt" in needed:
        request.getfixturevalue("plugins")
    held = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}
    follow(blocks, capsys)
    assert all(path.read_bytes() == content for path, content in held.items())


def test_every_fence_of_a_tutorial_is_a_block_that_is_run() -> None:
    for path in PAGES:
        text = path.read_text()
        blocks = parts(text)[-1][1]
        assert len(re.findall("```", text)) == 2 * len(blocks), path.name
        assert {"sh", "python", "text"} >= {kind for kind, _ in blocks}


def test_there_is_a_tutorial_for_each_thing_that_people_come_for() -> None:
    names = {path.stem.removeprefix("tutorial-") for path in PAGES}
    assert names == {"own-folder", "training", "onnxruntime", "tensorrt", "dali"}
    index = (CHECKOUT / "docs" / "index.md").read_text()
    listed = index.split("## Tutorials\n")[1].split("\n## ")[0]
    assert {*re.findall(r"\(([\w-]+)\.md\)", listed)} == {*(path.stem for path in PAGES), "adding-an-objective"}


@pytest.mark.parametrize(
    "page",
    [
        "```sh\ngsdd-rt info none.safetensors\n```",
        "```sh\nrm -rf photos\n```",
        '```python\nraise SystemError("broken")\n```',
        "```python\nprint(1)\n```\n```text\n2\n```",
        "```python\nprint(1)\n```\n```python\nprint(2)\n```\n```text\n1\n```",
        "```cpp\nint main() {}\n```",
    ],
)
def test_what_does_not_hold_is_seen(page: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ((needed, blocks),) = parts(page)
    assert needed == []
    with pytest.raises((AssertionError, SystemError)):
        follow(blocks, capsys)


def test_a_page_is_run_as_far_as_the_machine_reaches() -> None:
    page = "```sh\na\n```\n<!-- needs: dali -->\n```sh\nb\n```\n```sh\nc\n```\n<!-- needs: cuda -->\n```sh\nd\n```\n"
    a, b, c, d = [("sh", f"{letter}\n") for letter in "abcd"]
    assert parts(page) == [([], [a]), (["dali"], [a, b, c]), (["dali", "cuda"], [a, b, c, d])]
