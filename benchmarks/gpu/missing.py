"""What a run of ``make gpu`` needs and this machine has or lacks, told before anything else is done.

Nothing of ours and no torch is imported: each thing is asked for in a process of its own, or looked for.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# The oldest that the torch library's one binary serves (plugins/torch/CMakeLists.txt).
OLDEST_TORCH = (2, 10)
# Of Python, for the package itself; the rest is torch's own.
PACKAGES = {"numpy": "numpy", "safetensors": "safetensors", "PIL": "pillow", "typer": "typer", "rich": "rich"}
_ASK_TORCH = """
import torch
print(torch.__version__, torch.version.cuda or "", sep=";", end=";")
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "", end=";")
print(".".join(map(str, torch.cuda.get_device_capability())) if torch.cuda.is_available() else "")
"""


@dataclass(frozen=True)
class Found:
    """One thing: ``detail`` says what was found, or what to do; ``required`` ones stop a run that is no rehearsal."""

    name: str
    there: bool
    detail: str
    required: bool = False


def ask_torch() -> tuple[str, str, str, str]:
    """Version, its CUDA, the device's name and its compute capability; empty where there is none."""
    done = subprocess.run([sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True)
    words = done.stdout.strip().split(";") if done.returncode == 0 else []
    return tuple((words + [""] * 4)[:4])  # type: ignore[return-value]


def new_enough(version: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= OLDEST_TORCH


def look(prebuilt: Path | None, cifar: str | None) -> list[Found]:
    """Everything, in the order of its weight. ``prebuilt`` is a folder with libraries, for which nothing is built."""
    version, cuda, device, capability = ask_torch()
    pip = "pip install"
    found = [
        Found("torch", new_enough(version), version or f"{pip} torch (2.10 or newer, with CUDA)", True),
        Found("device", bool(device), f"{device}, compute capability {capability}" if device else
              f"torch {version} (CUDA {cuda or 'none'}) sees no CUDA device", True),
    ]  # fmt: skip
    found += [
        Found(package, there := find_spec(module) is not None, "installed" if there else f"{pip} {package}", True)
        for module, package in PACKAGES.items()
    ]
    if prebuilt is not None:
        found.append(Found("libraries", True, f"built before, in {prebuilt}", True))
    else:
        for name, remedy in (
            ("nvcc", "the CUDA toolkit, 12 or newer, with nvcc on PATH; or `make gpu-libraries` elsewhere"),
            ("cmake", f"{pip} cmake; or `make gpu-libraries` elsewhere"),
            ("c++", "a C++20 compiler; or `make gpu-libraries` elsewhere"),
        ):
            place = shutil.which(name) or (shutil.which("/usr/local/cuda/bin/nvcc") if name == "nvcc" else None)
            found.append(Found(name, place is not None, place or remedy, True))
    found.append(_module("pytest", "the stages tests and sanitizer"))
    tool = shutil.which("compute-sanitizer")
    found.append(Found("compute-sanitizer", tool is not None, tool or "of the CUDA toolkit; the stage sanitizer"))
    found += [
        _module("onnx", "engines"), _module("onnxscript", "engines"), _module("onnxruntime", "engines"),
        _module("tensorrt", "engines"), _module("gsplat", "its rasteriser as a peer, and the tiled path"),
        _module("nvidia.dali", "DALI's pipeline as a feed", "nvidia"),
        Found("CIFAR-10", bool(cifar and Path(cifar).is_dir()), cifar or "--cifar FOLDER; random images otherwise"),
    ]  # fmt: skip
    return found


def _module(name: str, use: str, parent: str | None = None) -> Found:
    there = (parent is None or find_spec(parent) is not None) and find_spec(name) is not None
    return Found(name, there, "installed" if there else f"pip install {name}; for {use}")


def table(found: list[Found]) -> str:
    words = {True: "found  ", False: "missing"}
    return "\n".join(
        f"{words[one.there]}{'' if one.there or not one.required else '!'} {one.name:<18} {one.detail}" for one in found
    )
