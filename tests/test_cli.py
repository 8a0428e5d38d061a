"""What the command line says to wrong use: exit code 2 and one line that names the option, the value, the remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from set_files import some_set

from gsdd_runtime.commands.cli import run
from gsdd_runtime.commands.parsing import parse_range, parse_size
from gsdd_runtime.errors import InputError
from gsdd_runtime.versions import VERSION


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gsdd-rt {VERSION}\n"
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for name in ("distill", "eval", "train", "export", "decode", "info", "bench", "doctor"):
        assert f"\n  {name} " in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["frobnicate"], "frobnicate"),
        (["distill"], "--out"),
        (["distill", "--out", "x.safetensors"], "--dataset"),
        (["distill", "--dataset", "fashion-mnist-sample"], "--out"),
        (
            ["distill", "--dataset", "fashion-mnist-sample", "--out", "x.safetensors", "--ipc", "zero"],
            "'zero'",
        ),
        (["distill", "--dataset", "fashion-mnist-sample", "--out", "x.safetensors", "--ipc", "0"], "--ipc"),
        (["distill", "--dataset", "nonsense", "--out", "x.safetensors"], "nonsense"),
        (["distill", "--dataset", "fashion-mnist", "--out", "x.safetensors"], "--data-dir"),
        (["distill", "--dataset", "imagefolder:/nowhere", "--out", "x.safetensors"], "/nowhere"),
        (
            ["distill", "--dataset", "fashion-mnist-sample", "--out", "x.safetensors", "--method", "magic"],
            "magic",
        ),
        (
            ["distill", "--dataset", "fashion-mnist-sample", "--out", "x.safetensors", "--network", "gpt"],
            "gpt",
        ),
        (
            ["distill", "--dataset", "fashion-mnist-sample", "--out", "x.safetensors", "--device", "tpu"],
            "tpu",
        ),
        (["distill", "--dataset", "fashion-mnist-sample", "--out", "x.safetensors", "--gpc", "5000"], "5000"),
        (["distill", "--dataset", "fashion-mnist-sample", "--out", "nowhere/x.safetensors"], "nowhere"),
        (["eval", "missing.safetensors", "--dataset", "fashion-mnist-sample"], "missing.safetensors"),
        (["info", "missing.safetensors"], "missing.safetensors"),
        (["decode", "missing.safetensors", "--out", "x.npy"], "missing.safetensors"),
        (["export", "missing.safetensors"], "--onnx"),
        (["export", "missing.safetensors", "--onnx"], "missing.safetensors"),
        (["bench", "coffee"], "coffee"),
        (["bench", "decode", "set.safetensors"], "takes no SET"),
        (["bench", "train", "--chart", "chart.svg"], "takes no --chart"),
        (["bench", "train", "--seed", "0"], "takes no --seed"),
        (["bench", "rate", "--dataset", "fashion-mnist-sample"], "at least one SET"),
        (["bench", "rate", "set.safetensors"], "--dataset"),
        (["bench", "rate", "missing.safetensors", "--dataset", "fashion-mnist-sample"], "missing.safetensors"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str],
    named: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("gsdd-rt: ")
    assert named in captured.err
    assert list(tmp_path.iterdir()) == []


NASTY = "\x1b[2J\x9b\u202e\udcff"


def test_nothing_that_a_terminal_obeys_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger may choose the name of a file as well as what is in it."""
    monkeypatch.chdir(tmp_path)
    name = f"{NASTY}.safetensors"
    assert run(["info", name]) == 2
    assert run([f"--{NASTY}"]) == 2
    some_set().save(name)
    assert run(["info", name]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 2
    for line in (captured.out + captured.err).splitlines():
        assert line.isprintable(), ascii(line)
    assert "\\x1b[2J" in captured.out


def test_help_does_not_import_torch() -> None:
    program = "import sys, gsdd_runtime.commands.cli; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_sizes() -> None:
    assert parse_size(None) is None
    assert parse_size("32x24") == (32, 24)
    assert parse_size("64") == (64, 64)
    for text in ("", "0x3", "3x", "axb", "-1x2", "1x2x3"):
        with pytest.raises(InputError, match="--size"):
            parse_size(text)


def test_ranges() -> None:
    assert parse_range(None, 5) == range(5)
    assert parse_range("1:3", 5) == range(1, 3)
    assert parse_range(":3", 5) == range(3)
    assert parse_range("3:", 5) == range(3, 5)
    assert parse_range("4", 5) == range(4, 5)
    for text in ("5", "3:3", "0:6", "x", "-1", "1:2:3"):
        with pytest.raises(InputError, match="--indices"):
            parse_range(text, 5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--onnx --momentum 0.5", "--momentum is for --onnx-train-step: name it too"),
        ("--onnx --seed 3", "--seed is for --onnx-train-step: name it too"),
        ("--torchscript --inline", "--inline is for --onnx: name it too"),
        ("--pt2 --opset 19", "--opset is for --onnx and --onnx-train-step: name it too"),
        ("--onnx --max-batch 8", "--max-batch is for --tensorrt and --triton: name it too"),
        ("--tensorrt --triton-backend tensorrt", "--triton-backend is for --triton: name it too"),
    ],
)
def test_export_refuses_what_no_target_has_a_use_for(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(tmp_path / "set.safetensors"), *words.split()]) == 2
    assert said in capsys.readouterr().err
