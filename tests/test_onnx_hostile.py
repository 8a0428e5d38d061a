"""Exported models in onnxruntime, fed with hostile tensors: an error or right images, never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def test_hostile_tensors_give_an_error_or_right_images() -> None:
    """``tests/attacks/hostile_tensors.py`` by itself is for ten thousand."""
    script = Path(__file__).parent / "attacks" / "hostile_tensors.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, str(script), "60", "5"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for what in ("function: right", "function: refused", "inlined: right", "inlined: refused"):
        assert what in done.stdout, done.stdout
