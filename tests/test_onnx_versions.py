"""The example that knows only onnxruntime and numpy, in this onnxruntime and in others, with and without the library.

Which others: see other_runtimes.py. onnxruntime 1.18 wants ``'numpy<2'`` beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from awkward import ordinary

from gsdd_runtime import DistilledSet, plugin_library, reference
from gsdd_runtime.errors import LibraryNotBuiltError

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

from other_runtimes import older_onnxruntimes  # noqa: E402

from gsdd_runtime.export.onnx import export_onnx  # noqa: E402
from gsdd_runtime.export.train_step import export_train_step  # noqa: E402

EXAMPLE = Path(__file__).parents[1] / "examples" / "onnxruntime" / "decode_and_train.py"
FOLDERS = ["", *older_onnxruntimes()]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], Path, float]:
    """A decoder by its form, a training step, and the mean of the first four images."""
    folder = tmp_path_factory.mktemp("exported")
    gaussians = ordinary(8, 10, 3, 16, 70).bfloat16()
    distilled = DistilledSet(gaussians, torch.arange(8) % 4, 16, 16, mean=[0.1] * 3, std=[0.4] * 3)
    decoders = {
        "function": export_onnx(distilled, folder / "decoder.onnx"),
        "inlined": export_onnx(distilled, folder / "inlined.onnx", inline=True),
    }
    step = export_train_step(distilled, folder / "step.onnx", network="convnet2-w16", learning_rate=0.02)
    return decoders, step, reference.splat(gaussians[:4].double(), 16, 16).mean().item()


@pytest.mark.parametrize("form", ["function", "library", "inlined"])
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: Path(folder).name or "installed")
def test_the_example_decodes_and_trains(folder: str, form: str, exported: tuple[dict[str, Path], Path, float]) -> None:
    decoders, step, mean = exported
    arguments = [str(EXAMPLE), str(decoders.get(form, decoders["function"])), str(step)]
    if form == "library":
        try:
            arguments.append(str(plugin_library("onnxruntime")))
        except LibraryNotBuiltError as error:
            pytest.skip(str(error))
    environment = {**os.environ, "PYTHONPATH": folder, "PYTHONSAFEPATH": "1"}
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "images (4, 3, 16, 16) of labels [0, 1, 2, 3]" in ran.stdout
    found = re.search(r"mean (\S+)\nloss (\S+), accuracy (\S+)", ran.stdout)
    assert found is not None
    assert float(found[1]) == pytest.approx(mean, abs=1e-4)
    assert float(found[2]) < 0.2
    assert float(found[3]) == 1.0
