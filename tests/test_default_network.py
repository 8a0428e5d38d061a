"""One rule says which network images of a size get, whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from distill_data import blobs

from gsdd_runtime import networks
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation import distill
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.networks.model_file import load_model
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.gaussians import initial_gaussians
from gsdd_runtime.training.trainer import train

SIZES = [((28, 28), "convnet3"), ((32, 20), "convnet3"), ((33, 20), "convnet4"), ((40, 64), "convnet4"),
         ((65, 40), "convnet5"), ((128, 128), "convnet5")]  # fmt: skip


class AskedError(Exception):
    """Stands in for the network that would be built."""


@pytest.fixture
def _asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(name: str, *arguments: object, **options: object) -> None:
        raise AskedError(name)

    monkeypatch.setattr(networks, "build", build)


def gaussian_set(height: int, width: int) -> DistilledSet:
    gaussians = initial_gaussians(3, 4, 1, height, width, torch.Generator().manual_seed(0)).bfloat16()
    return DistilledSet(gaussians, torch.arange(3), height, width, mean=(0.5,), std=(0.5,))


def distilling(data: RealData, distilled: DistilledSet, out: Path) -> None:
    distill(data, gpc=1, device="cpu")


def evaluating(data: RealData, distilled: DistilledSet, out: Path) -> None:
    evaluate(distilled, data, epochs=1, device="cpu")


def evaluating_at_a_size(data: RealData, distilled: DistilledSet, out: Path) -> None:
    evaluate(gaussian_set(8, 8), data, epochs=1, device="cpu", size=(data.height, data.width))


def training(data: RealData, distilled: DistilledSet, out: Path) -> None:
    train(distilled, epochs=1, device="cpu")


def training_at_a_size(data: RealData, distilled: DistilledSet, out: Path) -> None:
    train(gaussian_set(8, 8), epochs=1, device="cpu", size=(data.height, data.width))


def exporting(data: RealData, distilled: DistilledSet, out: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from gsdd_runtime.export.train_step import export_train_step

    export_train_step(distilled, out / "step.onnx")


@pytest.mark.usefixtures("_asked")
@pytest.mark.parametrize(("size", "name"), SIZES, ids=str)
@pytest.mark.parametrize("ask", [distilling, evaluating, evaluating_at_a_size, training, training_at_a_size, exporting])
def test_the_size_decides(
    ask: Callable[[RealData, DistilledSet, Path], None], size: tuple[int, int], name: str, tmp_path: Path
) -> None:
    data = blobs(height=size[0], width=size[1], per_class=2)
    with pytest.raises(AskedError, match=f"^{name}$"):
        ask(data, gaussian_set(*size), tmp_path)


def test_the_command_keeps_the_name_that_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model = tmp_path / "set.safetensors", tmp_path / "model.safetensors"
    gaussian_set(33, 33).save(path)
    assert run(["train", str(path), "--out", str(model), "--epochs", "1", "--device", "cpu"]) == 0
    assert "convnet4" in capsys.readouterr().out
    assert load_model(model).name == "convnet4"
