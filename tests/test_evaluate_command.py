"""``gsdd-rt eval`` as a user runs it: what it prints, in which words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from easy_data import easy_data, easy_set, folder_of

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A set and the data that it is tested on."""
    data = easy_data(class_names=("a", "b", "c"))
    easy_set(data).save(tmp_path / "set.safetensors")
    dataset = folder_of(data, tmp_path / "data")
    network = ["--network", "convnet1-w4", "--device", "cpu"]
    return [str(tmp_path / "set.safetensors"), "--dataset", dataset, *network]


def test_it_prints_accuracies_by_epochs(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", *arguments, "--epochs", "2", "--repeats", "2"]) == 0
    first, last, best = capsys.readouterr().out.splitlines()
    assert first == f"{arguments[0]}: convnet1-w4, 2 epochs, 2 networks; test accuracy"
    assert re.fullmatch(r"  last epoch +\d+\.\d\d \+- \d+\.\d\d %", last)
    assert re.fullmatch(r"  best epoch, chosen on the test images +\d+\.\d\d \+- \d+\.\d\d %", best)


def test_one_network_is_one_network(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", *arguments, "--epochs", "1", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "1 epoch, 1 network;" in out
    assert "+-" not in out


def test_small_pixels_are_tested_at_the_size_of_the_data(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A set of 4x4 needs to be told; one that was distilled at half the size knows."""
    whole = gsdd.DistilledSet.load(arguments[0])
    assert whole.pixels is not None
    pixels = torch.nn.functional.avg_pool2d(whole.pixels, 2)
    results = []
    for side, more in ((4, ["--size", "8x8"]), (8, [])):
        gsdd.DistilledSet(
            None, whole.labels, side, side, pixels=pixels, class_names=whole.class_names, mean=whole.mean, std=whole.std
        ).save(arguments[0])
        assert run(["eval", *arguments, *more, "--epochs", "3", "--repeats", "1", "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["size"] == results[1]["size"] == [8, 8]
    assert results[0]["repeats"] == results[1]["repeats"]


def test_json_is_all_there_is_on_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", *arguments, "--epochs", "1", "--repeats", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["network"] == "convnet1-w4"
    assert document["data"]["test_images"] == 24


def test_data_that_is_split_otherwise_is_told_of(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Images that were distilled must not come back as test images without a word."""
    for part in ("train", "test"):
        (tmp_path / "data" / part).rename(tmp_path / "data" / f"left out {part}")
    (tmp_path / "data" / "left out train").rename(tmp_path / "data" / "train")
    whole = gsdd.load_dataset(arguments[2], test_part=0)
    easy_set(whole, fingerprint=whole.fingerprint).save(arguments[0])
    short = ["--epochs", "1", "--repeats", "1"]
    assert run(["eval", *arguments, *short]) == 0
    assert "is split otherwise (--test-part)" in capsys.readouterr().err
    half = gsdd.load_dataset(arguments[2], test_part=0.5)
    easy_set(half, fingerprint=half.fingerprint).save(arguments[0])
    assert run(["eval", *arguments, *short, "--test-part", "0.5"]) == 0
    assert "split otherwise" not in capsys.readouterr().err
