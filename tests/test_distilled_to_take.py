"""The sets in distilled/ open, and their cards say what is in them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from test_page import document_in
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
    line, seed = re.findall(r"`gsdd-rt distill ([^`]+)`, seed (\d+)", said)[0]
    words = line.split()
    given = {
        name.removeprefix("--").replace("-", "_"): word for name, word in zip(words[::2], words[1::2], strict=True)
    }
    asked: dict[str, Any] = load_recipe(given.pop("recipe")).distill if "recipe" in given else {}
    options = {name: _value(word) for name, word in given.items() if name not in ("dataset", "data_dir", "out")}
    assert distilled.seed == int(seed)
    # Before there was a choice, fits started anywhere.
    recorded = {"placement": "uniform", **distilled.options}
    assert {name: recorded[name] for name in {**asked, **options}} == {**asked, **options}


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def test_nothing_of_cifar_10_is_in_the_set_and_the_report_of_its_run() -> None:
    path = FOLDER / "cifar-10-ipc1.safetensors"
    made = DistilledSet.load(path)
    # Not from images, and nothing of the data but means of features since.
    assert (made.options["init"], made.method) == ("random", "dm")
    page = document_in(path.with_suffix(".html").read_text())
    assert page["real"] is None
    assert "no image of the data was copied" in page["sets"][0]["lead"]
    assert "no image of CIFAR-10 is in it" in " ".join(card(path).split())
    assert page["sets"][0]["curves"]
    assert path.with_suffix(".html").stat().st_size < 1_000_000
    assert "](distilled/cifar-10-ipc1.html)" in (FOLDER.parent / "README.md").read_text()


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
