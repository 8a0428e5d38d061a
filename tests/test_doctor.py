"""``gsdd-rt doctor``: what it finds here, and what it says of a library that is damaged or gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.splatting.native import plugin_library


def doctor(**environment: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code and findings by part, in a process of its own: a library is loaded once a process."""
    done = subprocess.run(
        [sys.executable, "-m", "gsdd_runtime.commands.cli", "doctor", "--json"],
        env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, {finding["part"]: finding for finding in json.loads(done.stdout)["parts"]}


def test_what_is_here_decodes() -> None:
    code, parts = doctor()
    assert code == 0
    assert parts["torch library"]["status"] == "ok"
    assert "of the reference" in parts["torch library"]["detail"]
    assert "of the reference" in parts["onnx function"]["detail"]
    try:
        plugin_library("onnxruntime")
    except LibraryNotBuiltError:
        assert parts["onnxruntime library"]["status"] == "missing"
    else:
        assert parts["onnxruntime library"]["status"] == "ok"
        assert "of the reference" in parts["onnxruntime library"]["detail"]
    assert all(part["remedy"] for part in parts.values() if part["status"] != "ok")


@pytest.mark.parametrize("library", ["torch", "onnxruntime"])
def test_a_damaged_library_is_named(library: str, tmp_path: Path) -> None:
    (tmp_path / f"libgsdd_{library}.so").write_text("this is no library")
    code, parts = doctor(GSDD_PLUGIN_DIR=str(tmp_path))
    finding = parts[f"{library} library"]
    assert finding["status"] != "ok"
    assert str(tmp_path) in finding["detail"]
    assert finding["remedy"]
    # PyTorch is the one runtime that everything else here needs.
    assert code == (1 if library == "torch" else 0)
