"""ONNX models in runtimes other than the installed onnxruntime, where there are any.

`make runtimes` installs OpenVINO into the environment, and onnxruntime-web and an older onnxruntime below ``build/``.
``GSDD_ONNXRUNTIME_WEB`` names another folder with a ``node_modules`` in it, ``GSDD_ONNXRUNTIMES`` other folders,
separated as in PATH, into which versions were installed with ``pip install --target FOLDER onnxruntime==1.22.1``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

ROOT = Path(__file__).parents[1]
WEB = Path(os.environ.get("GSDD_ONNXRUNTIME_WEB") or ROOT / "build" / "onnxruntime-web").resolve()

OLDER = ROOT / "build" / "onnxruntime-older"

Feeds = dict[str, np.ndarray]


def older_onnxruntimes() -> list[str]:
    """Folders that hold other versions of onnxruntime."""
    named = os.environ.get("GSDD_ONNXRUNTIMES")
    if named is None:
        return [str(OLDER)] if (OLDER / "onnxruntime").is_dir() else []
    return list(filter(None, named.split(os.pathsep)))


def openvino_missing() -> str | None:
    return None if find_spec("openvino") else "OpenVINO is not installed: make runtimes"


def web_missing() -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    found = (WEB / "node_modules" / "onnxruntime-web").is_dir()
    return None if found else f"onnxruntime-web is not installed in {WEB}: make runtimes"


class OpenVino:
    """A model compiled as docs/onnx.md says."""

    def __init__(self, model: onnx.ModelProto, precision: str = "f32") -> None:
        import openvino

        core = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 2}
        self._compiled = core.compile_model(core.read_model(model=model.SerializeToString()), "CPU", settings)

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        found = self._compiled(feeds)
        return [found[output].copy() for output in self._compiled.outputs]


def run_in_web(runs: list[tuple[onnx.ModelProto, list[Feeds]]], folder: Path) -> list[list[list[np.ndarray]]]:
    """For each model and each of its feeds the outputs, all in one process of node, on the WebAssembly provider."""
    jobs: list[dict[str, Any]] = []
    for index, (model, feeds) in enumerate(runs):
        path = folder / f"{index}.onnx"
        onnx.save_model(model, path)
        inputs = [{name: _described(value) for name, value in fed.items()} for fed in feeds]
        jobs.append({"model": str(path), "outputs": [value.name for value in model.graph.output], "feeds": inputs})
    manifest = folder / "jobs.json"
    manifest.write_text(json.dumps(jobs))
    command = ["node", str(ROOT / "tests" / "run_in_web.mjs"), str(WEB), str(manifest)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise AssertionError(ran.stderr[-2000:])
    return [[[_value(output) for output in outputs] for outputs in job] for job in json.loads(ran.stdout)]


def _described(value: np.ndarray) -> dict[str, Any]:
    return {"type": str(value.dtype), "dims": value.shape, "data": b64encode(value.tobytes()).decode()}


def _value(output: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(b64decode(output["data"]), output["type"]).reshape(output["dims"]).copy()
