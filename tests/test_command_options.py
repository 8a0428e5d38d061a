"""Every option of every command reaches the library: set on a real command line, seen at the call."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_options import BASE, LIBRARY, OPTIONS, Reaches
from typer.main import get_command

import gsdd_runtime as gsdd
from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.cli import app, run
from gsdd_runtime.commands.shared import load_set_or_model
from gsdd_runtime.distillation.recipes import load_recipe
from gsdd_runtime.evaluation.light import light_choosing
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.selection import select_classes
from gsdd_runtime.sets.whitening import without_matrix

GROUP = get_command(app)
COMMANDS: dict[str, Any] = {"": GROUP, **GROUP.commands}  # type: ignore[attr-defined]


def test_every_option_has_a_line_in_the_table() -> None:
    there = {name: {parameter.name for parameter in command.params} for name, command in COMMANDS.items()}
    assert there == {name: set(options) for name, options in OPTIONS.items()}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    """What stands for the names in the table's braces: two sets, the stem of an output, a folder."""
    for name in ("set", "other"):
        gaussians = torch.zeros(5, 2, 9, dtype=torch.bfloat16)
        gsdd.DistilledSet(gaussians, torch.arange(5), 16, 16).save(tmp_path / f"{name}.safetensors")
    zca = torch.zeros(16 * 16 * 3 + 1, 16 * 16 * 3)
    left_out = without_matrix(gsdd.DistilledSet(gaussians, torch.arange(5), 16, 16, zca=zca))
    left_out.save(tmp_path / "left.safetensors")
    (tmp_path / "folder").mkdir()
    files = {name: f"{name}.safetensors" for name in ("set", "other", "left")}
    places = {**files, "out": "out", "folder": "folder"}
    return {name: str(tmp_path / place) for name, place in places.items()}


Calls = dict[str, dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The arguments that each library function was called with last, by name; what takes long is not done."""
    seen: Calls = {}
    made = SimpleNamespace(
        split=None, to_dict=dict, height=16, width=16, channels=3, classes=5, preparation=None, gpc=1,
        save=lambda path: None,
    )  # fmt: skip

    def watched(name: str, honest: Callable[..., Any], result: Callable[..., Any]) -> Callable[..., Any]:
        parameters = signature(honest)

        def call(*arguments: Any, **named: Any) -> Any:
            bound = parameters.bind(*arguments, **named)
            bound.apply_defaults()
            seen[name] = dict(bound.arguments)
            return result(*arguments, **named)

        return call

    def writes(source: Any, out: Any, **_: Any) -> Path:
        Path(out).write_bytes(b"")
        return Path(out)

    results: dict[str, Callable[..., Any]] = {
        "load": gsdd.DistilledSet.load, "save": gsdd.DistilledSet.save, "compress": compress, "examine": list,
        "claim": outputs.claim, "load_set_or_model": load_set_or_model,
        "load_recipe": load_recipe, "light_choosing": light_choosing,
        "claim_csv": outputs.claim_csv, "comparison_document": lambda *_: {"results": []},
        "compare": lambda sets, data_at, sizes, **_: [data_at(size) for size in sizes],
        "comparison_text": lambda *_: "", "comparison_csv": lambda *_: "", "per_class_text": lambda *_: "",
        "run_decode_bench": lambda **_: {},
        "select_classes": select_classes, "merge_sets": lambda sets, **_: next(iter(sets.values())),
        "images_and_labels": lambda *_: (torch.zeros(4, 1, 8, 8), torch.zeros(4)),
        "rank": lambda *_, **__: {"accuracies": {}},
        "verify_accuracy": lambda one, data_at, **_: [data_at(None)][1:],
        "RunView": lambda *_: SimpleNamespace(check=lambda: None, ended=lambda: True, records=list, name="", out=""),
        "run_train_bench": lambda **_: {}, "run_rate_bench": lambda *_, **__: {},
    }  # fmt: skip
    # All are imported before one is replaced: none keeps another's stand-in.
    modules = {name: import_module(module) for name, module in LIBRARY.items()}
    for name, module in modules.items():
        home = gsdd.DistilledSet if name in ("load", "save") else module
        honest = getattr(home, name)
        result = results.get(name, writes if name.startswith("export_") else lambda *_, **__: made)
        monkeypatch.setattr(home, name, watched(name, honest, result))
    return seen


def at(place: str, calls: Calls, stdout: str) -> Any:
    """What stands at a place of the table after a command has run; KeyError where it did not come so far."""
    if place == "stdout":
        return stdout
    if place == "json":
        try:
            json.loads(stdout)
        except ValueError:
            return False
        return True
    function, *keys = place.split(".")
    if not keys:
        return function in calls
    value: Any = calls[function]
    for key in keys:
        if isinstance(value, list):
            value = value[int(key)]
        else:
            value = value[key] if isinstance(value, dict) else getattr(value, key, None)
    return value


def shown(words: str, paths: dict[str, str], calls: Calls, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command line; what it printed. What a stand-in's result lets fail, after the calls, does not matter."""
    calls.clear()
    try:
        run(words.format(**paths).split())
    except Exception as error:
        print(error, file=sys.stderr)
    return capsys.readouterr().out


def filled(value: Any, paths: dict[str, str]) -> Any:
    """``value`` with paths for what stands in braces, also in a list of names."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [each.format(**paths) for each in value]
    return value.format(**paths) if isinstance(value, str) else value


LINES = [(command, option, reaches) for command, options in OPTIONS.items() for option, reaches in options.items()]


@pytest.mark.parametrize(("command", "option", "reaches"), LINES, ids=[f"{c} {o}" for c, o, _ in LINES])
def test_an_option_reaches_the_library(
    command: str, option: str, reaches: Reaches, paths: dict[str, str], calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    line = BASE[command] if reaches.base is None else reaches.base
    wanted = filled(reaches.value, paths)

    def values(words: str) -> list[Any]:
        stdout = shown(f"{command} {words}", paths, calls, capsys)
        found = [at(place, calls, stdout) for place in reaches.all_places]
        found = [list(value) if isinstance(value, dict) and isinstance(wanted, list) else value for value in found]
        return [str(value) if isinstance(wanted, str) else value for value in found]

    assert values(f"{line} {reaches.words}") == [wanted] * len(reaches.all_places)
    # A default would be seen without the option too; where the call is not even made without it, it is not.
    with suppress(KeyError, IndexError):
        assert wanted not in values(line if reaches.words else BASE[command])
