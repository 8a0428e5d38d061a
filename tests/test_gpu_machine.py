"""What a user runs on a machine with a GPU and a kernel that was built without CUDA: everything ends on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from gpu_machine import simulate
from test_loader import make_set

import gsdd_runtime as gsdd
from gsdd_runtime.bench.train import run_train_bench
from gsdd_runtime.commands import demo, examination
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.decoders.torch import TorchDecoder
from gsdd_runtime.distillation.fit import fit_images

DATA = ["--dataset", "fashion-mnist-sample"]
SMALL = ["--gpc", "2", "--iterations", "1", "--fit-steps", "1", "--network", "convnet1-w4", "--batch-real", "2"]
NETWORK = ["--network", "convnet1-w4", "--epochs", "1"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    simulate(monkeypatch)
    monkeypatch.chdir(tmp_path)
    # An engine takes seconds, and needs no GPU.
    monkeypatch.setattr(examination, "tensorrt_engine", lambda: examination.Finding("tensorrt engine", "ok", "there"))
    return tmp_path


def saved_set(folder: Path) -> str:
    gaussians = torch.zeros(10, 4, 7).bfloat16()
    path = folder / "set.safetensors"
    names = list(load_dataset("fashion-mnist-sample").class_names)
    gsdd.DistilledSet(gaussians, torch.arange(10), 28, 28, class_names=names, mean=(0.3,), std=(0.3,)).save(path)
    return str(path)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert "built without its CUDA kernel" in err
    assert err.count("\n") == 1
    return err


def test_distill_ends_on_the_cpu(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["distill", *DATA, *SMALL, "--out", "set.safetensors"]) == 0
    # What the run is going to do is told too.
    assert capsys.readouterr().err.count("built without its CUDA kernel") == 1
    assert gsdd.DistilledSet.load("set.safetensors").options["device"] == "cpu"


def test_eval_ends_on_the_cpu(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", saved_set(machine), *DATA, *NETWORK, "--repeats", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["device"] == "cpu"
    assert err.count("\n") == 1


def test_train_ends_on_the_cpu(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", saved_set(machine), *NETWORK, "--out", "model.safetensors"]) == 0
    said(capsys)


def test_the_loader_yields_on_the_cpu(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loader = gsdd.DistilledLoader(make_set(), 8)
    assert [images.device.type for images, _ in loader] == ["cpu"] * 3
    said(capsys)


def test_a_decoder_without_the_kernel_says_what_to_do(machine: Path) -> None:
    assert TorchDecoder(make_set(), device="auto").device == torch.device("cpu")
    with pytest.raises(gsdd.InputError, match="built without its CUDA kernel"):
        TorchDecoder(make_set(), device="cuda")


def test_fitting_ends_on_the_cpu(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_images(torch.rand(1, 1, 8, 8), 2, steps=1).gaussians.device.type == "cpu"
    said(capsys)


def test_bench_train_ends_on_the_cpu(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_train_bench(names=("convnet1-w8",), rounds=1, steps=1, batch_size=8, workers=0, images=16, fit_steps=2)
    assert result["device"] == "cpu"
    said(capsys)


def test_the_demo_ends_on_the_cpu(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"iterations": 1, "fit_steps": 1, "network": "convnet1-w4", "batch_real": 2}
    monkeypatch.setattr(demo, "DISTILL", {**demo.DISTILL, **small})
    monkeypatch.setattr(demo, "EVALUATE", {"network": "convnet1-w4", "epochs": 1, "repeats": 1, "tests": 1})
    demo.run(machine / "demo", 0)
    out, err = capsys.readouterr()
    assert "decoder.onnx" in out
    assert out.splitlines()[-1].startswith("runs here: torch on the CPU (")
    assert err.count("built without its CUDA kernel") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["distill", *DATA, *SMALL, "--out", "other.safetensors"],
        ["eval", "set.safetensors", *DATA, *NETWORK],
        ["train", "set.safetensors", *NETWORK, "--out", "model.safetensors"],
        ["bench", "train"],
        ["bench", "decode"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_device_cuda_is_one_line(arguments: list[str], machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_set(machine)
    assert run([*arguments, "--device", "cuda"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("gsdd-rt: ")
    assert "CUDA" in err
    assert [path.name for path in machine.iterdir()] == ["set.safetensors"]


def test_doctor_tells_a_kernel_without_cuda(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    parts = {part["part"]: part for part in json.loads(capsys.readouterr().out)["parts"]}
    assert parts["cuda"]["status"] == "missing"
    assert "built without its CUDA kernel" in parts["cuda"]["detail"]
    assert "make build" in parts["cuda"]["remedy"]


def test_a_resumed_run_may_go_on_at_another_device_of_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    from gsdd_runtime.distillation.options import resolve

    data = load_dataset("fashion-mnist-sample")
    found = []
    for current in (0, 1):
        simulate(monkeypatch, architectures="90-real", count=2, current=current)
        found.append(resolve({}, data))
    assert [options.device for options in found] == ["cuda:0", "cuda:1"]
    assert found[0].as_dict() == found[1].as_dict()
    assert found[0].as_dict()["device"] == "cuda"
