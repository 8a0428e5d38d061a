"""A set that states what it is worth: what is kept, when it is forgotten, and that it is measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set, folder_of
from set_files import edited, refused, saved, some_set

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.evaluation.result import stored_measurement
from gsdd_runtime.evaluation.verification import LEAST_TOLERANCE, verify_accuracy
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.distilled_set import DistilledSet

DATA = easy_data(class_names=("a", "b", "c"))
OPTIONS: dict[str, Any] = {
    "network": "convnet1-w4", "epochs": 2, "repeats": 2, "seed": 3, "recipe": "dc", "batch_size": 4, "momentum": 0.5,
    "learning_rate": 0.005, "weight_decay": 0.01, "augment": "dsa", "device": "cpu",
}  # fmt: skip


def data_at(size: tuple[int, int] | None) -> RealData:
    return DATA


def measured(**changes: Any) -> DistilledSet:
    result = evaluate(easy_set(DATA), DATA, **OPTIONS).to_dict()
    stated = {**stored_measurement(result), **changes}
    return easy_set(DATA).changed(accuracy=[stated])


def test_the_stated_protocol_is_repeated(tmp_path: Path) -> None:
    measured().save(tmp_path / "set")
    (found,) = verify_accuracy(DistilledSet.load(tmp_path / "set"), data_at, device="cpu")
    assert found["difference"] == 0
    assert found["agrees"] is True
    assert found["measured"] == found["stated"]


@pytest.mark.parametrize(
    ("off", "std", "within", "agrees"),
    [
        (0.2, 0.0, None, False), (0.2, 0.25, None, True), (0.004, 0.0, None, True), (0.2, 0.0, 0.21, True),
        (0.2, 0.25, 0.1, False),
    ],
)  # fmt: skip
def test_a_difference_beyond_the_deviation_is_another_accuracy(
    off: float, std: float, within: float | None, agrees: bool
) -> None:
    mean = evaluate(easy_set(DATA), DATA, **OPTIONS).last_epoch_mean
    off = off if mean > 0.5 else -off
    one = measured(last_epoch={"mean": mean - off, "std": std})
    (found,) = verify_accuracy(one, data_at, within=within, device="cpu")
    assert found["difference"] == pytest.approx(off)
    assert found["agrees"] is agrees
    assert found["within"] == (max(std, LEAST_TOLERANCE) if within is None else within)


def test_what_cannot_be_measured_again_is_refused() -> None:
    for one, words in (
        (easy_set(DATA), "states no accuracy"),
        (measured(data={"name": "other", "fingerprint": "sha256:00"}), "was measured on other, and easy is other data"),
        (measured(network="mine:Net"), "code of your own that is not run because a file names it"),
        (measured(teacher="model"), "learned from the teacher model: give it with --teacher"),
        (easy_set(DATA).changed(accuracy=[{"network": "mlp", "last_epoch": {"mean": 0.5}}]), "lacks its epochs"),
    ):
        with pytest.raises(InputError, match=words):
            verify_accuracy(one, data_at, device="cpu")


def test_an_accuracy_is_forgotten_with_what_it_was_of() -> None:
    one = measured()
    pixels = one.pixels
    assert pixels is not None
    assert one.changed(seed=5).accuracy == one.accuracy
    for change in ({"pixels": pixels}, {"labels": one.labels}, {"mean": (0.1,)}, {"training": {"learning_rate": 1.0}}):
        assert one.changed(**change).accuracy == []
    assert compress(one).distilled_set.accuracy == []
    assert one.changed(class_names=None).accuracy == one.accuracy


@pytest.mark.parametrize(
    "value",
    [
        5,
        [5],
        [{"network": "mlp"}],
        [{"network": 1, "last_epoch": {"mean": 0.5}}],
        [{"network": "mlp", "last_epoch": {"mean": 2}}],
    ],
    ids=str,
)
def test_what_is_no_accuracy_is_refused(value: Any, tmp_path: Path) -> None:
    refused(edited(saved(tmp_path), lambda description: description.update(accuracy=value)), "accuracy must")


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    easy_set(DATA).save(tmp_path / "set.safetensors")
    return [str(tmp_path / "set.safetensors"), "--dataset", folder_of(DATA, tmp_path / "data")]


def test_eval_stores_and_verify_agrees(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--networks", "convnet1-w4,mlp", "--epochs", "3", "--repeats", "2", "--device", "cpu"]
    assert run(["eval", *line, *options, "--store", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    one = DistilledSet.load(line[0])
    assert [stated["network"] for stated in one.accuracy] == ["convnet1-w4", "mlp"]
    for stated, result in zip(one.accuracy, document["results"], strict=True):
        assert stated == stored_measurement(result)
        assert stated["networks"] == 2
    assert torch.equal(one.rows(), easy_set(DATA).rows())
    assert run(["verify", *line, "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("agrees (within") == 2
    assert run(["info", line[0]]) == 0
    assert f"convnet1-w4 {100 * one.accuracy[0]['last_epoch']['mean']:.2f} %, mlp" in capsys.readouterr().out
    # What was stored does not make another set of it.
    assert run(["eval", *line, *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["sha256"] == document["protocol"]["sha256"]


def test_another_accuracy_is_told_by_the_exit_code(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--network", "convnet1-w4", "--epochs", "3", "--repeats", "1", "--device", "cpu"]
    assert run(["eval", *line, *options, "--store"]) == 0
    one = DistilledSet.load(line[0])
    stated = one.accuracy[0]
    mean = stated["last_epoch"]["mean"]
    off = 0.3 if mean > 0.5 else -0.3
    one.changed(accuracy=[{**stated, "last_epoch": {"mean": mean - off, "std": None}}]).save(line[0])
    capsys.readouterr()
    assert run(["verify", *line, "--device", "cpu"]) == 1
    assert "IS ANOTHER (within 0.50 points)" in capsys.readouterr().out
    assert run(["verify", *line, "--device", "cpu", "--within", "31", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["agrees"] is True
    assert document["results"][0]["difference"] == pytest.approx(off)


def test_a_network_keeps_no_accuracy(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tmp_path / "model.safetensors")
    assert run(["train", line[0], "--network", "convnet1-w4", "--epochs", "1", "--out", model]) == 0
    assert run(["eval", model, *line[1:], "--store"]) == 2
    assert "leave --store out" in capsys.readouterr().err


def test_info_tells_the_bits_of_each_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def bits(one: DistilledSet) -> dict[str, float | None]:
        path = saved(tmp_path, one)
        assert run(["info", str(path), "--json"]) == 0
        return json.loads(capsys.readouterr().out)["bits_per_class"]  # type: ignore[no-any-return]

    plain = some_set()
    images = 8 * 6 * 4 * 7 * 2 / 3
    assert bits(plain) == {"all": images + 128, "images": images, "labels": 128, "whitening": 0}
    soft = plain.changed(labels=torch.ones(6, 3).half(), class_names=plain.class_names)
    assert bits(soft)["labels"] == 8 * 6 * 3 * 2 / 3
    whitening = easy_set(DATA, zca=torch.zeros(65, 64))
    assert bits(whitening)["whitening"] == 8 * 65 * 64 * 4 / 3
    coded = bits(compress(plain).distilled_set)
    assert coded["labels"] is None
    assert coded["all"] == coded["images"]
    assert gsdd.DistilledSet.load(tmp_path / "set.safetensors").nbytes * 8 / 3 == coded["all"]
