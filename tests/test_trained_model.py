"""A trained network: ``train`` says how good it is, ``eval`` and ``info`` read its file, and so does Python."""

from __future__ import annotations

import json
import os
import re
import struct
from pathlib import Path

import pytest
import torch
from easy_data import easy_data, easy_set, folder_of

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.trained import evaluate_model
from gsdd_runtime.networks import build, model_file
from gsdd_runtime.networks.model_file import save_model
from gsdd_runtime.sets.container import is_of_kind

DATA = easy_data(class_names=("a", "b", "c"))
FAST = ["--network", "convnet1-w4", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set, the data that it is of, and a network that was trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    easy_set(DATA, fingerprint=gsdd.load_dataset(folder_of(DATA, folder / "data")).fingerprint).save(folder / "set")
    assert run(["train", str(folder / "set"), "--out", str(folder / "model"), "--epochs", "40", *FAST]) == 0
    return folder


def by_hand(path: Path) -> float:
    """The share of the test images that a network gets right, as a user's own code finds it."""
    model = gsdd.load_model(path)
    with torch.no_grad():
        guesses = model.logits(DATA.test_images.float() / 255).argmax(dim=1)
    return (guesses == DATA.test_labels).double().mean().item()


def dataset(folder: Path) -> list[str]:
    return ["--dataset", f"imagefolder:{folder / 'data'}"]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    message = captured.err.splitlines()[-1]
    for word in words:
        assert word in message, message


def test_eval_tests_a_network_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = folder / "model"
    assert run(["eval", str(model), *dataset(folder)]) == 0
    percent = f"{100 * by_hand(model):.2f} %"
    expected = f"{model}: convnet1-w4, {percent} test accuracy on 24 images of imagefolder:{folder / 'data'}\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (DATA.test_images, "uint8 [24, 1, 8, 8]"),
        (torch.zeros(2, 1, 16, 8), "float32 [2, 1, 16, 8]"),
        (torch.zeros(2, 3, 8, 8), "takes images [B, 1, 8, 8]"),
        (torch.zeros(1, 8, 8), "float32 [1, 8, 8]"),
        ([0.5], "images must be a torch.Tensor, got list"),
    ],
    ids=str,
)
def test_images_of_another_kind_are_refused(images: torch.Tensor, words: str, folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        gsdd.load_model(folder / "model").logits(images)
    assert words in str(caught.value)


def test_eval_of_a_network_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", str(folder / "model"), *dataset(folder), "--json", "--device", "cpu"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["accuracy"] == by_hand(folder / "model")
    assert document["data"]["test_images"] == 24
    assert document["model"]["training"]["epochs"] == 40
    assert document["device"] == "cpu"


@pytest.mark.parametrize(
    "option", [["--epochs", "3"], ["--repeats", "1"], ["--seed", "0"], ["--network", "mlp"]], ids=lambda o: o[0]
)
def test_a_network_is_not_trained_again(option: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["eval", str(folder / "model"), *dataset(folder), *option], capsys, f"leave {option[0]} out")


def test_the_data_takes_the_size_of_the_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build("convnet1-w4", 1, 3, (16, 16), seed=1)
    save_model(network, folder / "large", network="convnet1-w4", distilled_set=easy_set(DATA), size=(16, 16))
    assert run(["eval", str(folder / "large"), *dataset(folder), "--json"]) == 0
    data = gsdd.load_dataset(dataset(folder)[1], size=(16, 16))
    expected = evaluate_model(gsdd.load_model(folder / "large"), data, device="cpu").accuracy
    assert json.loads(capsys.readouterr().out)["accuracy"] == expected
    refused(["eval", str(folder / "large"), *dataset(folder), "--size", "8x8"], capsys, "images of 16x16", "--size")


def test_a_network_of_other_data_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build("convnet1-w4", 1, 4, (8, 8), seed=1)
    four = easy_set(DATA, class_names=("a", "b", "c", "d"))
    save_model(network, folder / "four", network="convnet1-w4", distilled_set=four)
    refused(["eval", str(folder / "four"), *dataset(folder)], capsys, "the network has 4 classes", "has 3")


def test_train_says_how_good_the_network_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "tested"
    arguments = ["train", str(folder / "set"), "--out", str(out), "--epochs", "2", *FAST, *dataset(folder)]
    assert run(arguments) == 0
    first, own, real = capsys.readouterr().out.splitlines()
    assert first == f"{out}: convnet1-w4 trained on 9 images for 2 epochs"
    distilled, model = gsdd.DistilledSet.load(folder / "set"), gsdd.load_model(out)
    with torch.no_grad():
        logits = model.network(distilled.decode(normalize=True))
    share = (logits.argmax(dim=1) == distilled.labels).double().mean().item()
    loss = torch.nn.functional.cross_entropy(logits, distilled.labels).item()
    found = re.fullmatch(r"  on the set itself    (\S+) %, loss (\S+)", own)
    assert found is not None
    assert found[1] == f"{100 * share:.2f}"
    assert float(found[2]) == pytest.approx(loss, rel=1e-3)
    assert real.startswith(f"  on real test images  {100 * by_hand(out):.2f} % of 24, of imagefolder:")


def test_train_says_how_to_test(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "untested"
    assert run(["train", str(folder / "set"), "--out", str(out), "--epochs", "1", *FAST]) == 0
    assert capsys.readouterr().out.endswith(f"not tested: gsdd-rt eval {out} --dataset ...\n")


def test_train_refuses_data_that_does_not_fit_before_it_trains(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = folder_of(easy_data(class_names=("a", "b", "other")), tmp_path / "other")
    arguments = ["train", str(folder / "set"), "--out", str(tmp_path / "model"), "--epochs", "3", *FAST]
    refused([*arguments, "--dataset", other], capsys, "class 2 is 'c' in the set and 'other'")
    refused([*arguments, "--data-dir", "x"], capsys, "--data-dir needs --dataset")
    refused([*arguments, "--test-part", "0.5"], capsys, "--test-part needs --dataset")
    assert not (tmp_path / "model").exists()


def test_a_set_without_statistics_is_trained_with_those_of_the_data(folder: Path) -> None:
    easy_set(DATA, mean=None, std=None).save(folder / "bare")
    out = folder / "bare model"
    arguments = ["train", str(folder / "bare"), "--out", str(out), "--epochs", "1", *FAST]
    assert run(arguments) == 2
    assert run([*arguments, *dataset(folder)]) == 0
    assert gsdd.load_model(out).mean == pytest.approx(DATA.mean)


def test_info_tells_about_both(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(folder / "model"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["network"], facts["class_names"]) == (
        "trained network",
        "convnet1-w4",
        ["a", "b", "c"],
    )
    assert facts["file_bytes"] == (folder / "model").stat().st_size
    assert facts["parameters"] == sum(p.numel() for p in build("convnet1-w4", 1, 3, (8, 8), seed=0).parameters())
    assert facts["training"]["epochs"] == 40
    assert run(["info", str(folder / "model")]) == 0
    assert re.search(r"^network +convnet1-w4$", capsys.readouterr().out, re.MULTILINE)
    assert run(["info", str(folder / "set"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "distilled set"


def test_a_whitening_network_whitens_what_it_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turn = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))[0]
    easy_set(DATA, zca=torch.cat([turn, torch.zeros(1, 64)])).save(folder / "whitened")
    arguments = ["train", str(folder / "whitened"), "--out", str(folder / "whitening"), "--epochs", "60"]
    assert run([*arguments, "--network", "mlp", "--device", "cpu"]) == 0
    capsys.readouterr()
    assert run(["eval", str(folder / "whitening"), *dataset(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"]["zca"] is True
    assert document["accuracy"] == by_hand(folder / "whitening") == 1.0


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 2) + b"[]"])
def test_a_file_that_is_neither_is_refused_as_no_set(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for arguments in (["info", str(path)], ["eval", str(path), "--dataset", "fashion-mnist-sample"]):
        refused(arguments, capsys, str(path), "make a set with `gsdd-rt distill`")


def test_a_damaged_network_is_refused_as_one(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut"
    path.write_bytes((folder / "model").read_bytes()[:-8])
    refused(["info", str(path)], capsys, str(path), "train again")


def test_a_pipe_is_of_no_kind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not is_of_kind(tmp_path / "pipe", model_file.KIND)
    assert not is_of_kind(tmp_path, model_file.KIND)
