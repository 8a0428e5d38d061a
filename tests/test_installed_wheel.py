"""The wheel, built from this checkout and installed into an empty environment, works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import _NEEDS
from script_folders import first_in_path

CHECKOUT = Path(__file__).parent.parent
with first_in_path(CHECKOUT / "release"):
    import symbols

PROGRAM = """
import pathlib, torch
import gsdd_runtime as gsdd

assert pathlib.Path(gsdd.__file__).is_relative_to(pathlib.Path(__import__("sys").prefix)), gsdd.__file__
gaussians = torch.tensor([[[0.0, 0.0, 3.0, 0.0, 3.0, 0.5, 1.0]]], dtype=torch.bfloat16)
image = gsdd.splat(gaussians, 16, 16)
assert (image - gsdd.reference.splat(gaussians.float(), 16, 16)).abs().max() < 1e-3
distilled = gsdd.DistilledSet(gaussians, torch.tensor([0]), 16, 16)
distilled.save("set.safetensors")
assert torch.equal(gsdd.DistilledSet.load("set.safetensors").decode(), image)
"""


def run(arguments: list[str | Path], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GSDD_"))}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", f"-Cbuild-dir={folder}/build",
         "-Ccmake.define.GSDD_CUDA=OFF", "--outdir", folder, CHECKOUT], folder)  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "gsdd_runtime/py.typed",
        "gsdd_runtime/op_contract.json",
        "gsdd_runtime/lib/libgsdd_torch.so",
        "gsdd_runtime/export/onnx.py",
        "gsdd_runtime/distillation/recipes/cifar10-tm-ipc1.toml",
    ):
        assert needed in names
    # Where DALI was there to build for, its library is part of the wheel.
    if not _NEEDS["dali"][0]():
        assert "gsdd_runtime/lib/libgsdd_dali.so" in names
    assert not [name for name in names if name.startswith(("tests/", "plugins/", "benchmarks/"))]
    assert wheel.stat().st_size < 12_000_000


def test_its_libraries_load_on_every_machine_of_manylinux_2_28(wheel: Path) -> None:
    with symbols.libraries_of(wheel) as libraries:
        # What DALI's own headers take from libstdc++ is older in the container alone (release/README.md).
        ours = [library for library in libraries if library.name != "libgsdd_dali.so"]
        assert {library.name for library in ours} >= {"libgsdd_torch.so"}
        assert {library.name: symbols.problems(library) for library in ours} == {library.name: [] for library in ours}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    binaries = environment / "bin"
    constraints = CHECKOUT / "constraints.txt"
    # torch first and alone: an open range would take the newest build, gigabytes of it.
    run([binaries / "pip", "install", "--quiet", "--constraint", constraints, "torch"], tmp_path)
    run([binaries / "pip", "install", "--quiet", "--constraint", constraints, wheel], tmp_path)
    run([binaries / "python", "-c", PROGRAM], tmp_path)
    assert "1 image" in run([binaries / "gsdd-rt", "decode", "set.safetensors", "--out", "set.npy"], tmp_path)
    assert "cifar10-tm-ipc1" in run([binaries / "gsdd-rt", "recipes"], tmp_path)
    assert "ok       torch library" in run([binaries / "gsdd-rt", "doctor"], tmp_path)
