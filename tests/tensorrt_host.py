"""Builds the host of the TensorRT plugins (tests/native/tensorrt_host), and renders through its enqueue."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from awkward import Inputs
from torch import Tensor

SOURCES = Path(__file__).parent / "native" / "tensorrt_host"
DTYPE_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True)
class Host:
    """Built programs and plugin libraries, in one folder that lives as long as the process."""

    folder: tempfile.TemporaryDirectory[str]

    def path(self, name: str) -> Path:
        return Path(self.folder.name, name)

    def run(self, program: str, library: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.path(program)), str(library), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=240)

    @property
    def library_on_cpu(self) -> Path:
        return self.path("libgsdd_tensorrt_cpu.so")


@cache
def built_host(cuda: bool = False) -> Host:
    """The host; the test is skipped, or failed where TensorRT is required, where the headers are missing."""
    host = Host(tempfile.TemporaryDirectory(prefix="gsdd-tensorrt-host-"))
    cmake = [sys.executable, "-m", "cmake"] if find_spec("cmake") else ["cmake"]
    generator = ["-G", "Ninja"] if find_spec("ninja") else []
    options = [f"-DGSDD_HOST_CUDA={'ON' if cuda else 'OFF'}"]
    # The tools of this Python, whether or not its environment is on the path.
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*cmake, *arguments], capture_output=True, text=True, env=environment)

    configured = run(*generator, *options, "-S", str(SOURCES), "-B", host.folder.name)
    if configured.returncode != 0:
        reason = " ".join(configured.stderr.split())
        if "headers" not in reason or os.environ.get("GSDD_REQUIRE_TENSORRT", "") not in ("", "0"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    built = run("--build", host.folder.name, "--parallel", "2")
    if built.returncode != 0:
        pytest.fail(built.stdout[-4000:], pytrace=False)
    return host


@dataclass(frozen=True)
class Enqueue:
    """One call of enqueue: the forward plugin, or with ``grad_images`` the gradient's."""

    inputs: Inputs
    gaussian_dtype: torch.dtype = torch.float32
    image_dtype: torch.dtype = torch.float32
    grad_images: Tensor | None = None


def enqueue(host: Host, library: Path, calls: Sequence[Enqueue], folder: Path) -> list[Tensor]:
    """The results of all calls, from one process of the host; RuntimeError with its words where it refuses one."""
    lines, results = [], []
    for number, call in enumerate(calls):
        gaussians, height, width, native_size, supersample = call.inputs
        gaussians = gaussians.to(call.gaussian_dtype).contiguous()
        files = [_write(folder / f"{number}-gaussians", gaussians)]
        batch, count, parameters = gaussians.shape
        op, shape = "GaussianSplat", (batch, parameters - 6, height, width)
        if call.grad_images is not None:
            op, shape = "GaussianSplatGrad", (batch, count, parameters)
            files.append(_write(folder / f"{number}-images", call.grad_images.contiguous()))
        files.append(folder / f"{number}-result")
        words = [
            op, DTYPE_NAMES[call.gaussian_dtype], DTYPE_NAMES[call.image_dtype], batch, count, parameters,
            height, width, *(native_size or (height, width)), supersample, *files,
        ]  # fmt: skip
        lines.append(" ".join(map(str, words)))
        results.append((files[-1], call.image_dtype, shape))
    requests = folder / "requests"
    requests.write_text("".join(f"{line}\n" for line in lines))
    done = host.run("tensorrt_host", library, "enqueue", str(requests))
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return [_read(*result) for result in results]


def _write(path: Path, tensor: Tensor) -> Path:
    path.write_bytes(tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return path


def _read(path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    content = bytearray(path.read_bytes())
    return torch.frombuffer(content, dtype=dtype).view(shape) if content else torch.empty(shape, dtype=dtype)
