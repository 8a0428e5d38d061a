"""From real images to a trained network: every command to its end, on classes that nobody could mix up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from easy_data import CLASSES, SIDE, easy_data, easy_images
from PIL import Image

import gsdd_runtime as gsdd
from gsdd_runtime.commands import demo
from gsdd_runtime.commands.cli import run
from gsdd_runtime.distillation.representations import REPRESENTATIONS
from gsdd_runtime.networks.model_file import load_model
from gsdd_runtime.wording import percent

NETWORK = "convnet1-w16"
# Nothing of an image is known at the start: what the set shows in the end comes from matching alone.
DISTILL = {
    "init": "random", "network": NETWORK, "iterations": 40, "learning_rate": 0.1, "gpc": 2, "batch_real": 10,
    "augment": "none", "seed": 1, "device": "cpu",
}  # fmt: skip


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_short_distillation_tells_plainly_distinct_classes_apart(representation: str) -> None:
    data = easy_data()
    made = gsdd.distill(data, representation=representation, **DISTILL)  # type: ignore[arg-type]
    options = {"network": NETWORK, "epochs": 60, "repeats": 2, "device": "cpu"}
    assert gsdd.evaluate(made, data, augment=None, **options).last_epoch_mean == 1.0  # type: ignore[arg-type]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of images in two parts, each class in a folder of its own."""
    folder = tmp_path / "photos"
    for part, count, seed in (("train", 30, 1), ("test", 24, 2)):
        for index, (image, label) in enumerate(zip(*easy_images(count, 1, seed), strict=True)):
            place = folder / part / ("top", "under", "where")[int(label)]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(place / f"{index}.png")
    return folder


def test_the_commands_lead_from_a_folder_of_images_to_a_network(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = ["--dataset", f"imagefolder:{photos}"]
    made, model = str(tmp_path / "set.safetensors"), str(tmp_path / "model.safetensors")
    training = ["--network", NETWORK, "--epochs", "100", "--device", "cpu"]
    distilling = [word for name, value in DISTILL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert run(["distill", *dataset, *distilling, "--out", made]) == 0
    assert "6 images of 3 classes" in capsys.readouterr().out

    assert run(["eval", made, *dataset, *training, "--repeats", "2", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert [repeat["last_epoch"] for repeat in result["repeats"]] == [1.0, 1.0]
    assert run(["eval", made, *dataset, *training, "--repeats", "1"]) == 0
    assert "100.0" in capsys.readouterr().out

    assert run(["train", made, *training, "--out", model]) == 0
    assert "trained on 6 images for 100 epochs" in capsys.readouterr().out
    trained = load_model(model)
    images, labels = easy_images(24, 1, 5)
    guesses = trained.network((images.float() / 255 - trained.mean[0]) / trained.std[0]).argmax(dim=1)
    assert torch.equal(guesses, labels)
    assert trained.class_names == ("top", "under", "where")

    assert run(["info", made, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["images"], facts["classes"]) == (2 * CLASSES, CLASSES)
    assert run(["decode", made, "--size", "16x16", "--out", str(tmp_path / "images")]) == 0
    pictures = sorted((tmp_path / "images").rglob("*.png"))
    assert len(pictures) == 2 * CLASSES
    assert Image.open(pictures[0]).size == (2 * SIDE, 2 * SIDE)


def test_a_small_demo_runs_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"iterations": 1, "fit_steps": 1, "network": "convnet1-w4", "batch_real": 2}
    monkeypatch.setattr(demo, "DISTILL", {**demo.DISTILL, **small})
    monkeypatch.setattr(demo, "EVALUATE", {**demo.EVALUATE, "network": "convnet1-w4", "epochs": 1, "repeats": 1})
    out = tmp_path / "demo"
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["demo", "--out", str(out), "--seed", "5"])
    demo.main()
    told = capsys.readouterr().out
    bytes_a_class = {}
    for name, row, images in (
        ("gaussians", "Gaussians, distilled", 10), ("coded", "Gaussians, distilled and coded", 30),
        ("pixels", "pixels, distilled", 2), ("random-real", "real images, random", 4),
    ):  # fmt: skip
        (line,) = [cells for line in told.splitlines() if (cells := line.split("│"))[1:] and cells[1].strip() == row]
        bytes_a_class[name] = int(line[3])
        made = gsdd.DistilledSet.load(out / f"{name}.safetensors")
        assert len(made) == 10 * images
        assert made.seed == 5
        # As the table has it.
        (stated,) = made.accuracy
        assert line[4].strip() == percent(stated["last_epoch"]["mean"], 0.0, 1, digits=1)
        assert (made.coded is not None) == (name == "coded")
    assert bytes_a_class.pop("coded") <= 3136
    assert bytes_a_class == {"gaussians": 3080, "pixels": 3136, "random-real": 3136}
    assert "decoder.onnx in stock onnxruntime: within" in told
    logs = {f"{name}.safetensors.log.jsonl" for name in ("gaussians", "coded", "pixels")}
    assert {path.name for path in out.iterdir()} - logs == {
        "gaussians.safetensors", "coded.safetensors", "pixels.safetensors", "random-real.safetensors", "decoder.onnx",
        "distilled.png", "zoom.png",
    }  # fmt: skip
    assert all((out / log).is_file() for log in logs)
