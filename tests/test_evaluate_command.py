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


def test_it_prints_one_table(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", *arguments, "--epochs", "2", "--repeats", "2"]) == 0
    title, heads, row, caption = capsys.readouterr().out.splitlines()
    assert title == (f"test accuracy in %, 2 networks each; recipe dm, 2 epochs; {arguments[2]}, 24 test images")
    assert heads.split("  ")[-1] == "last epoch"
    assert re.fullmatch(rf"  {re.escape(arguments[0])}  convnet1-w4 +8x8 +3,264 +\d+\.\d\d \+- \d+\.\d\d", row)
    assert caption == "Epochs are those of training on the finished set, not steps of distilling it."


def test_the_best_epoch_is_told_where_it_is_asked_for(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", *arguments, "--epochs", "4", "--repeats", "1", "--tests", "2", "--accuracy-at", "1,3"]) == 0
    out = capsys.readouterr().out
    heads, row = out.splitlines()[1:3]
    words = ["last epoch", "best epoch, chosen on the test images", "after 1 epoch", "after 3 epochs"]
    assert [head for head in re.split(r"  +", heads) if head][-4:] == words
    assert len([head for head in re.split(r"  +", row) if head]) == 8
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
        results.append(json.loads(capsys.readouterr().out)["results"][0])
    assert results[0]["size"] == results[1]["size"] == [8, 8]
    assert results[0]["repeats"] == results[1]["repeats"]


def test_json_is_all_there_is_on_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", *arguments, "--epochs", "1", "--repeats", "1", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["network"] == "convnet1-w4"
    assert result["data"]["test_images"] == 24


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
