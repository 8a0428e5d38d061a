"""GSDD_CUDA=AUTO: when CMake builds the CUDA kernel, and for which GPUs. nvcc and nvidia-smi are stand-ins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CMAKE = [sys.executable, "-m", "cmake"] if (Path(sys.executable).parent / "cmake").exists() else ["cmake"]
ALL = "75-real;80-real;86-real;89-real;90-real;100-real;120-real;120-virtual"
KNOWN = (75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121)

pytestmark = pytest.mark.skipif(shutil.which(CMAKE[0]) is None, reason="no cmake")

SCRIPT = f"""
list(APPEND CMAKE_MODULE_PATH {ROOT}/cmake)
include(Report)
include(Cuda)
gsdd_find_cuda()
message("choice=${{GSDD_CUDA_CHOICE}}")
message("missing=${{GSDD_CUDA_MISSING}}")
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class Machine:
    """What CMake finds: nvcc of a version, a driver of a version, GPUs of compute capabilities."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.nvcc = ""

    def with_nvcc(self, version: str = "13.0", known: tuple[int, ...] = KNOWN, compiles: str = "exit 0") -> Machine:
        listed = " ".join(f"compute_{number}" for number in known)
        program(self.programs / "nvcc", f'case "$1" in\n--version) echo "Cuda compilation tools, release {version}, V"'
                f";;\n--list-gpu-arch) printf '%s\\n' {listed} ;;\n*) {compiles} ;;\nesac")  # fmt: skip
        self.nvcc = str(self.programs / "nvcc")
        return self

    def with_driver(self, version: str = "13.0", gpus: str = "") -> Machine:
        program(self.programs / "nvidia-smi", f'case "$1" in\n"") echo "| Driver Version: 580.65  CUDA Version: '
                f"{version} |\";;\n*) printf '{gpus}' ;;\nesac")  # fmt: skip
        return self

    def ask(self, *options: str, cuda: str = "AUTO", **environment: str) -> dict[str, str]:
        script = self.folder / "ask.cmake"
        script.write_text(SCRIPT)
        smi = self.programs / "nvidia-smi"
        found = [f"-DGSDD_NVCC={self.nvcc}", f"-DGSDD_NVIDIA_SMI={smi if smi.exists() else ''}"]
        command = [*CMAKE, f"-DGSDD_CUDA={cuda}", *found, *options, "-P", str(script)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CUDA")}
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env={**clean, **environment})
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stderr.splitlines() if line.startswith(("choice=", "missing=")))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_no_nvcc(machine: Machine) -> None:
    assert "no nvcc was found: install the CUDA toolkit" in machine.ask()["missing"]
    assert "no nvcc was found" in machine.ask(cuda="ON")["missing"]


def test_nvcc_and_no_driver_builds_for_all(machine: Machine) -> None:
    assert machine.with_nvcc().ask() == {"choice": ALL, "missing": ""}


def test_nvcc_and_gpus_builds_for_them_alone(machine: Machine) -> None:
    machine.with_nvcc().with_driver(gpus="9.0\\n9.0\\n8.6\\n")
    assert machine.ask() == {"choice": "86-real;90-real;90-virtual", "missing": ""}
    # A release serves everyone.
    assert machine.ask(cuda="ON") == {"choice": ALL, "missing": ""}


def test_a_gpu_that_is_newer_than_nvcc_gets_the_newest_ptx(machine: Machine) -> None:
    machine.with_nvcc(known=(80, 90)).with_driver(gpus="12.0\\n8.0\\n")
    assert machine.ask() == {"choice": "80-real;90-virtual", "missing": ""}


def test_a_gpu_that_is_older_than_nvcc_is_left_out(machine: Machine) -> None:
    machine.with_nvcc().with_driver(gpus="6.1\\n9.0\\n")
    assert machine.ask() == {"choice": "90-real;90-virtual", "missing": ""}
    machine.with_driver(gpus="6.1\\n")
    assert "does not build for compute capability 61" in machine.ask()["missing"]


def test_nvcc_that_is_newer_than_the_driver_is_left_out(machine: Machine) -> None:
    machine.with_nvcc("13.0").with_driver("12.8", gpus="9.0\\n")
    assert "nvcc is of CUDA 13, and the driver serves CUDA 12: install a toolkit of CUDA 12" in machine.ask()["missing"]
    # Built for other machines, when it is asked for.
    assert machine.ask(cuda="ON")["missing"] == ""
    assert machine.with_nvcc("12.9").ask()["missing"] == ""


def test_a_driver_that_says_nothing_stops_nothing(machine: Machine) -> None:
    machine.with_nvcc()
    program(machine.programs / "nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")
    assert machine.ask() == {"choice": ALL, "missing": ""}


def test_nvcc_that_does_not_compile_is_left_out_with_its_reason(machine: Machine) -> None:
    machine.with_nvcc(compiles="echo 'host_config.h: error: unsupported GNU version!' >&2; exit 1")
    assert "does not compile here (host_config.h: error: unsupported GNU version!)" in machine.ask()["missing"]


def test_nvcc_of_before_cxx20_is_left_out(machine: Machine) -> None:
    assert "is of CUDA 11: 12 or newer is needed" in machine.with_nvcc("11.8").ask()["missing"]


def test_architectures_that_are_asked_for_are_not_chosen(machine: Machine) -> None:
    machine.with_nvcc().with_driver(gpus="9.0\\n")
    assert machine.ask("-DCMAKE_CUDA_ARCHITECTURES=80-real") == {"choice": "", "missing": ""}
    assert machine.ask(CUDAARCHS="80") == {"choice": "", "missing": ""}


def configure(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *CMAKE,
        "-S",
        str(ROOT),
        "-B",
        str(folder),
        "-DGSDD_TORCH=OFF",
        "-DGSDD_ONNXRUNTIME=OFF",
        "-DGSDD_DALI=OFF",
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_build_without_nvcc_goes_on_and_says_so(tmp_path: Path) -> None:
    done = configure(tmp_path, "-DGSDD_NVCC=")
    assert done.returncode == 0, done.stderr
    first, second = (tmp_path / "gsdd-built.txt").read_text().splitlines()
    assert first.startswith("CUDA kernel skipped: no nvcc was found")
    assert second.startswith("TensorRT plugin skipped: ")
    assert first in done.stdout


def test_cuda_asked_for_without_nvcc_says_what_to_do(tmp_path: Path) -> None:
    done = configure(tmp_path, "-DGSDD_CUDA=ON", "-DGSDD_NVCC=")
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert "no nvcc was found" in said
    assert "configure with -DGSDD_CUDA=OFF" in said
