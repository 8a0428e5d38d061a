"""Ctrl-C ends every command alike, and what a killed one left behind is no trouble."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from set_files import saved
from test_command_outputs import WRITES

from gsdd_runtime.commands import demo
from gsdd_runtime.commands.cli import run

# What each command calls before anything else that takes long.
WORK = {
    "distill": "gsdd_runtime.datasets.load_dataset",
    "experts": "gsdd_runtime.datasets.load_dataset",
    "eval": "gsdd_runtime.datasets.load_dataset",
    "baseline": "gsdd_runtime.datasets.load_dataset",
    "verify": "gsdd_runtime.evaluation.verification.verify_accuracy",
    "rank": "gsdd_runtime.datasets.load_dataset",
    "train": "gsdd_runtime.training.trainer.train",
    "compress": "gsdd_runtime.sets.compression.compress",
    "fit": "gsdd_runtime.distillation.fitted_set.fit_set",
    "import": "gsdd_runtime.sets.foreign.images_and_labels",
    "whiten": "gsdd_runtime.sets.whitening.without_matrix",
    "select": "gsdd_runtime.sets.selection.select_classes",
    "merge": "gsdd_runtime.sets.selection.merge_sets",
    "relabel": "gsdd_runtime.experts.teaching.load_teacher",
    "export": "gsdd_runtime.export.onnx.export_onnx",
    "decode": "gsdd_runtime.reports.pictures.write_decoded",
    "report": "gsdd_runtime.reports.page.page_document",
    "watch": "gsdd_runtime.commands.watch_server.RunView",
    "info": "gsdd_runtime.sets.description.description",
    "datasets": "gsdd_runtime.datasets.class_choice.imagenet_names",
    "networks": "gsdd_runtime.networks.catalog.listed_names",
    "recipes": "gsdd_runtime.distillation.recipes.recipe_names",
    "bench": "gsdd_runtime.bench.run_decode_bench",
    "completion": "typer.completion.get_completion_script",
    "doctor": "gsdd_runtime.commands.examination.examine",
}


@pytest.mark.parametrize("command", WRITES)
def test_ctrl_c_ends_every_command_alike(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(WORK[command], interrupted)
    arguments = {
        "distill": "--dataset fashion-mnist-sample --out {out}.safetensors",
        "experts": "--dataset fashion-mnist-sample --out {out}",
        "eval": "{set} --dataset fashion-mnist-sample",
        "baseline": "whole --dataset fashion-mnist-sample",
        "verify": "{set} --dataset fashion-mnist-sample",
        "rank": "{set} --dataset fashion-mnist-sample",
        "train": "{set} --out {out}.safetensors",
        "compress": "{set} --out {out}.safetensors",
        "fit": "{set} --ipc 1 --out {out}.safetensors",
        "import": "{set} --out {out}.safetensors",
        "whiten": "{set} --out {out}.safetensors",
        "select": "{set} --classes 0 --out {out}.safetensors",
        "relabel": "{set} --teacher {set} --out {out}.safetensors",
        "merge": "{set} --out {out}.safetensors",
        "export": "{set} --onnx {out}.onnx",
        "decode": "{set} --out {out}",
        "report": "{set} --out {out}.html",
        "watch": "{set}",
        "info": "{set}",
        "completion": "fish",
    }.get(command, "")
    path = saved(tmp_path)
    assert run([command, *arguments.format(set=path, out=tmp_path / "out").split()]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "gsdd-rt: interrupted\n")
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_ends_the_demo_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "load_dataset", interrupted)
    monkeypatch.setattr(sys, "argv", ["demo", "--out", str(tmp_path / "demo")])
    assert (demo.main(), capsys.readouterr().err) == (1, "demo: interrupted\n")


def test_what_a_killed_command_left_is_no_trouble(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for out in (tmp_path / "out.npy", tmp_path / "out"):
        (tmp_path / f".{out.name}.lock").write_text("123\n")
        (tmp_path / f".{out.name}.ab_1.partial").write_bytes(b"half")
        (tmp_path / f".{out.name}.ab_2.partial").mkdir()
        (tmp_path / f".{out.name}.ab_2.partial" / "0.png").write_bytes(b"half")
        assert run(["decode", str(path), "--out", str(out), "--indices", "0:2"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.npy", "set.safetensors"]
