"""``gsdd-rt baseline`` as a user runs it: which images, of how many bytes, by which recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set, folder_of

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run
from gsdd_runtime.evaluation.accuracy import evaluate_whole
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.networks.model_file import save_model
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.trainer import train

DATA = easy_data(class_names=("a", "b", "c"))
FAST: dict[str, Any] = {"network": "convnet1-w4", "epochs": 3, "repeats": 2, "device": "cpu"}


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    dataset = folder_of(DATA, tmp_path / "data")
    options = ["--network", "convnet1-w4", "--epochs", "3", "--repeats", "2", "--device", "cpu"]
    return ["--dataset", dataset, *options]


def document(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["baseline", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_random_images_are_evaluated_as_a_set_is(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = document(["random", *line, "--ipc", "2", "--seed", "4"], capsys)["results"]
    data = gsdd.load_dataset(line[1])
    expected = gsdd.evaluate(random_real_set(data, per_class=2, seed=4), data, seed=4, **FAST).to_dict()
    assert result["repeats"] == expected["repeats"]
    assert result["set"]["name"] == "random, 2 images a class"


def test_equal_bytes_are_those_of_everything_a_user_needs(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A set of 3 images a class in bfloat16, with soft labels: 3 * 128 + 3 * 6 bytes, which is 6 real images."""
    soft = torch.nn.functional.one_hot(DATA.train_labels[:9], 3).half()
    easy_set(DATA, labels=soft).save(tmp_path / "set.safetensors")
    more = ["--bytes-of", str(tmp_path / "set.safetensors")]
    found = document(["random", *line, *more], capsys)
    assert found["protocol"]["baseline"]["bytes_per_class"] == 3 * 128 + 3 * 6
    assert found["results"][0]["set"]["images"] == 6 * 3
    assert found["results"][0]["set"]["bits_per_class"] == 8 * 6 * 64
    counted = document(["random", *line, *more, "--pixel-bytes", "4"], capsys)
    assert counted["results"][0]["set"]["images"] == 1 * 3
    assert counted["results"][0]["set"]["bytes"] == 3 * 64 * 4


def test_whitening_that_both_need_is_counted_for_both(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = gsdd.load_dataset(line[1], zca=True)
    easy_set(DATA, zca=data.zca).save(tmp_path / "set.safetensors")
    more = ["--bytes-of", str(tmp_path / "set.safetensors"), "--zca"]
    (result,) = document(["random", *line, *more], capsys)["results"]
    # 3 images of 128 bytes and 8 of a label each.
    assert result["set"]["images"] == (3 * 128 + 24) // 64 * 3
    assert result["set"]["bytes"] == result["set"]["images"] * 64 + 65 * 64 * 4
    assert result["set"]["zca"] is True


def test_several_draws_have_a_deviation_between_them(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = document(["random", *line, "--ipc", "1", "--draws", "3"], capsys)
    assert [result["set"]["seed"] for result in found["results"]] == [0, 1, 2]
    assert found["over_sets"][0]["sets"] == 3


@pytest.mark.parametrize("kind", ["herding", "kcenter"])
def test_features_choose(kind: str, line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.safetensors"
    network = train(easy_set(DATA), network="convnet1-w4", epochs=2, device="cpu")
    save_model(network, model, network="convnet1-w4", distilled_set=easy_set(DATA))
    out = tmp_path / "chosen.safetensors"
    for more in ([], ["--features", str(model), "--overwrite"]):
        found = document([kind, *line, "--ipc", "2", "--out", str(out), *more], capsys)
        assert found["results"][0]["set"]["method"] == f"{kind}-real"
        assert len(DistilledSet.load(out)) == 6
    coded = tmp_path / "coded.safetensors"
    assert run(["compress", str(out), "--pixel-bits", "2", "--out", str(coded)]) == 0
    found = DistilledSet.load(coded)
    assert found.coded is not None
    assert len(found.decode().unique()) == 4


def test_the_whole_is_the_upper_bound(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = document(["whole", *line], capsys)["results"]
    expected = evaluate_whole(gsdd.load_dataset(line[1]), **FAST).to_dict()
    assert result["repeats"] == expected["repeats"]
    assert result["set"]["images"] == 30
    assert run(["baseline", "whole", *line]) == 0
    assert "whole" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["best"], "no baseline 'best': choose one of random, herding, kcenter, whole"),
        (["random"], "give either --bytes-of SET or --ipc"),
        (["random", "--ipc", "1", "--features", "model"], "leave --features out"),
        (["herding", "--ipc", "1", "--draws", "2"], "leave --draws out"),
        (["whole", "--ipc", "1"], "leave --ipc out"),
        (["random", "--ipc", "11"], "class a of"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], words: str, line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["baseline", *arguments, *line]) == 2
    assert words in capsys.readouterr().err


def test_a_set_of_other_classes_has_no_equal(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    easy_set(DATA, class_names=("a", "b", "c", "d")).save(tmp_path / "set.safetensors")
    assert run(["baseline", "random", *line, "--bytes-of", str(tmp_path / "set.safetensors")]) == 2
    assert "has 4 classes" in capsys.readouterr().err
