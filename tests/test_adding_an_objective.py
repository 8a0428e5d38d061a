"""docs/adding-an-objective.md adds one: its code runs as it stands, from the command line to the set."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from distill_data import blobs
from easy_data import folder_of

from gsdd_runtime import DistilledSet
from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation.objectives import OBJECTIVES

PAGE = (Path(__file__).parent.parent / "docs" / "adding-an-objective.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# ([^\n]+)\n(.*?)```", PAGE, re.DOTALL))
FOLDER = "gsdd_runtime/distillation/objectives"


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The page's files as modules, and its line."""
    modules = {}
    for name in ("moment_distance", "moments"):
        module = ModuleType(f"gsdd_runtime.distillation.objectives.{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(BLOCKS[f"{FOLDER}/{name}.py"], name, "exec"), module.__dict__)
        modules[name] = module
    # Undone at the end, whatever the line does.
    monkeypatch.setitem(OBJECTIVES, "moments", OBJECTIVES["dm"])
    exec(BLOCKS["the line"], {"OBJECTIVES": OBJECTIVES, **modules["moments"].__dict__})
    return {name: module.__dict__ for name, module in modules.items()}


def test_the_page_has_a_loss_file_a_class_file_and_a_line() -> None:
    assert list(BLOCKS) == [f"{FOLDER}/moment_distance.py", f"{FOLDER}/moments.py", "the line"]
    assert len(BLOCKS["the line"].splitlines()) == 1


def test_its_loss_is_that_of_plain_loops(added: dict[str, Any]) -> None:
    ours, theirs = torch.randn(4, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    mean, spread = added["moment_distance"]["moment_distance"](ours, theirs)

    def moments(rows: torch.Tensor, column: int) -> tuple[float, float]:
        values = [float(row[column]) for row in rows]
        middle = sum(values) / len(values)
        return middle, (sum((value - middle) ** 2 for value in values) / (len(values) - 1)) ** 0.5

    pairs = [(moments(ours, column), moments(theirs, column)) for column in range(3)]
    assert mean.item() == pytest.approx(sum((a[0] - b[0]) ** 2 for a, b in pairs))
    assert spread.item() == pytest.approx(sum((a[1] - b[1]) ** 2 for a, b in pairs))


OPTIONS = "--network convnet1-w8 --gpc 3 --batch-real 6 --fit-steps 2 --iterations 4 --device cpu"


@pytest.mark.usefixtures("added")
def test_its_command_line_makes_a_set_and_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, out = folder_of(blobs(), tmp_path / "images"), tmp_path / "set.safetensors"
    line = f"distill --dataset {dataset} --out {out} {OPTIONS} --method moments --spread-weight 0.5"
    assert run(line.split()) == 0, capsys.readouterr().err
    made = DistilledSet.load(out)
    assert made.method == "moments"
    assert made.options["spread_weight"] == 0.5
    records = [json.loads(text) for text in Path(f"{out}.log.jsonl").read_text().splitlines()]
    assert any({"mean", "spread"} <= record.get("parts", {}).keys() for record in records)
    assert run(["distill", "--help"]) == 0
    assert "[method moments] Of the distance between the deviations." in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--method dm --spread-weight 1", "spread_weight is an option of method moments, not of method dm"),
        ("--method moments --gpc 1", "method moments needs two images a class"),
        ("--method moments --spread-weight -1", "spread_weight must be"),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(
    options: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"distill --dataset fashion-mnist-sample --out {tmp_path}/set.safetensors {options}"
    assert run(line.split()) == 2
    message = capsys.readouterr().err
    assert told in message
    assert message.count("\n") == 1
