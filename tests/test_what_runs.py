"""The last line of the demo: what runs on this machine, and how much the library of ONNX Runtime brings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gpu_machine import simulate
from test_loader import make_set

from gsdd_runtime.commands import examination
from gsdd_runtime.commands.examination import Finding
from gsdd_runtime.commands.runtimes import what_runs
from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.export.onnx import export_onnx
from gsdd_runtime.splatting.native import plugin_library

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(make_set(), tmp_path_factory.mktemp("decoder") / "decoder.onnx")


@pytest.fixture(autouse=True)
def no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Finding("tensorrt engine", "missing", "no TensorRT is installed", "install it")
    monkeypatch.setattr(examination, "tensorrt_engine", lambda: missing)


def test_the_library_is_named_with_what_it_brings(decoder: Path) -> None:
    try:
        plugin_library("onnxruntime")
    except LibraryNotBuiltError as error:
        pytest.skip(str(error))
    line = what_runs(decoder)
    found = re.search(r"onnxruntime [\d.]+ by library, (\d+\.?\d*) times as fast as by the model's function", line)
    assert found is not None, line
    assert float(found[1]) > 0
    assert line.startswith("runs here: torch on the CPU (")
    assert line.endswith("TensorRT not: no TensorRT is installed")
    assert "\n" not in line


def test_without_the_library_the_function_is_named_with_the_remedy(
    decoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GSDD_PLUGIN_DIR", raising=False)
    monkeypatch.setattr("gsdd_runtime.splatting.native.installed_file", lambda *parts: None)
    line = what_runs(decoder)
    assert "by the model's function (libgsdd_onnxruntime.so is not built: " in line
    assert "times" not in line


def test_a_gpu_is_named_where_the_kernel_runs_on_it(decoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch, architectures="90-real")
    assert what_runs(decoder).startswith("runs here: torch on NVIDIA Pretend, and on the CPU (")
    simulate(monkeypatch)
    assert what_runs(decoder).startswith("runs here: torch on the CPU (")


def test_tensorrt_is_told_as_doctor_tells_it(decoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = Finding("tensorrt engine", "ok", "built by tensorrt-rtx 1.7.1; not run, there is no CUDA device")
    monkeypatch.setattr(examination, "tensorrt_engine", lambda: built)
    assert what_runs(decoder).endswith("; TensorRT: built by tensorrt-rtx 1.7.1; not run, there is no CUDA device")
