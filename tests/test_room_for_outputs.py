"""Before long work, a command asks whether its disk has room for what it will write."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from set_files import saved, some_set
from test_command_outputs import refused

from gsdd_runtime import DistilledSet
from gsdd_runtime.commands.cli import run


@pytest.mark.parametrize("name", ["out.npy", "out.npz"])
def test_decoding_asks_for_room_first(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_decoding(*arguments: object, **options: object) -> None:
        pytest.fail("it decoded")

    path = saved(tmp_path, some_set(images=100, classes=10))
    monkeypatch.setattr(DistilledSet, "decode", no_decoding)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=10**12, free=75 * 10**9))
    arguments = ["decode", str(path), "--out", str(tmp_path / name), "--size", "16384x16384"]
    refused(arguments, tmp_path, capsys, f"{tmp_path / name} takes 107.4 GB, its disk has 75.0 GB left: make room")


def test_pictures_ask_for_room_after_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, some_set(images=60))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=10**12, free=2000))
    refused(["decode", str(path), "--out", str(tmp_path / "out")], tmp_path, capsys, "its disk has 2.0 kB left")
    assert run(["decode", str(path), "--out", str(tmp_path / "out"), "--indices", "0:2"]) == 0


@pytest.mark.parametrize("target", ["--onnx", "--onnx-train-step", "--torchscript", "--pt2", "--aot-inductor"])
def test_an_export_asks_for_room_first(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsdd_runtime.export.program._program", lambda *options: (None, ""))
    path = saved(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=10**12, free=100))
    refused(["export", str(path), target, "--size", "8"], tmp_path, capsys, "its disk has 0.1 kB left")


def test_training_asks_for_room_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_training(*arguments: object, **options: object) -> None:
        pytest.fail("it trained")

    monkeypatch.setattr("gsdd_runtime.training.trainer.train", no_training)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=10**12, free=10**6))
    arguments = ["train", str(saved(tmp_path)), "--network", "convnet3", "--out", str(tmp_path / "model.safetensors")]
    refused(arguments, tmp_path, capsys, "model.safetensors takes 1.2 MB, its disk has 1.0 MB left")


def test_a_file_system_that_knows_no_size_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=0, free=0))
    saved(tmp_path)
