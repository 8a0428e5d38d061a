"""The sets in distilled/ open, and their cards say what is in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from test_readme import check_parses

from gsdd_runtime import DistilledSet
from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation.recipes import load_recipe

FOLDER = Path(__file__).parent.parent / "distilled"
SETS = sorted(FOLDER.glob("*.safetensors"))
TEXT = (FOLDER / "README.md").read_text()


def card(path: Path) -> str:
    return TEXT.split(f"## {path.name}\n")[1].split("\n## ")[0]


def test_every_set_has_its_card_and_every_card_its_set() -> None:
    assert SETS
    assert [f"## {path.name}" for path in SETS] == sorted(re.findall(r"^## .*$", TEXT, re.MULTILINE))


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_card_says_what_is_in_the_file(path: Path) -> None:
    said, distilled = card(path), DistilledSet.load(path)
    per_class = len(distilled) // distilled.classes
    assert f"| images | {len(distilled)}, {per_class} a class, of {distilled.rows([0]).shape[1]} Gaussians;" in said
    assert f"{path.stat().st_size:,} bytes" in said
    (stated,) = distilled.accuracy
    figures = stated["last_epoch"]
    assert f"{100 * figures['mean']:.1f} ± {100 * figures['std']:.1f} %" in said
    assert f"{stated['networks']} networks, {stated['epochs']} epochs" in said
    recipe = load_recipe(re.findall(r"--recipe ([\w-]+)`, seed (\d+)", said)[0][0])
    assert distilled.seed == int(re.findall(r"`, seed (\d+)", said)[0])
    assert {name: distilled.options[name] for name in recipe.distill} == recipe.distill


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_report_is_what_the_command_writes(path: Path, tmp_path: Path) -> None:
    assert run(["report", str(path), "--out", str(tmp_path / "report.html")]) == 0
    kept = path.with_suffix(".html")
    assert (tmp_path / "report.html").read_bytes() == kept.read_bytes(), f"run: gsdd-rt report {path} --out {kept}"


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_the_lines_of_a_card_hold(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = card(path)
    (program,) = re.findall(r"```python\n(.*?)```", said, re.DOTALL)
    assert f'"distilled/{path.name}"' in program
    monkeypatch.chdir(FOLDER.parent)
    names: dict[str, Any] = {}
    exec(compile(program, "distilled/README.md", "exec"), names)
    shape, count = re.findall(r"float32 \[([\d, ]+)\].*int64 \[(\d+)\]", program)[0]
    assert tuple(names["distilled"].decode().shape) == tuple(map(int, shape.split(", ")))
    assert len(names["distilled"].labels) == int(count)
    for line in re.findall(r"```sh\n(.*?)```", said, re.DOTALL)[0].splitlines():
        assert f"distilled/{path.name}" in line
        check_parses(shlex.split(line))
