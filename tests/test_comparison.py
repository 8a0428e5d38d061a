"""Several sets, networks and sizes in one evaluation: what is averaged over what, the table, CSV, doing it again."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set, folder_of
from set_files import some_gaussians

from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.evaluation.comparison import compare, comparison_document
from gsdd_runtime.evaluation.report import comparison_csv, comparison_text, per_class_text
from gsdd_runtime.sets.distilled_set import DistilledSet

DATA = easy_data()
FAST: dict[str, Any] = {"epochs": 3, "repeats": 2, "device": "cpu", "augment": None}
SETS = {"one": easy_set(DATA), "two": easy_set(DATA, count=6), "three": easy_set(DATA, count=3)}


def data_at(size: tuple[int, int] | None) -> RealData:
    return DATA if size is None else grown(size[0] // 8)


def grown(factor: int) -> RealData:
    train, test = (
        (images.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3), labels)
        for images, labels in ((DATA.train_images, DATA.train_labels), (DATA.test_images, DATA.test_labels))
    )
    return RealData.of("easy", train, test, DATA.class_names)


def document(sets: dict[str, DistilledSet], architectures: list[str], **options: Any) -> dict[str, Any]:
    found = compare(sets, data_at, architectures=architectures, **{**FAST, **options})
    return json.loads(json.dumps(comparison_document(found, {"asked": 1}), allow_nan=False))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(SETS, ["convnet1-w4", "mlp"], tests=3, accuracy_at=(2,))


def test_every_set_is_evaluated_with_every_network(made: dict[str, Any]) -> None:
    cells = [(result["set"]["name"], result["network"]) for result in made["results"]]
    assert cells == [(name, network) for name in SETS for network in ("convnet1-w4", "mlp")]
    for result, (name, network) in zip(made["results"], cells, strict=True):
        alone = evaluate(SETS[name], DATA, network=network, tests=3, accuracy_at=(2,), **FAST).to_dict()
        assert result == json.loads(json.dumps({**alone, "set": {"name": name, **alone["set"]}}))


def test_deviations_over_networks_and_over_sets_are_told_apart(made: dict[str, Any]) -> None:
    for entry in made["over_sets"]:
        means = [result["last_epoch"]["mean"] for result in made["results"] if result["network"] == entry["network"]]
        best = [result["best_epoch"]["mean"] for result in made["results"] if result["network"] == entry["network"]]
        assert entry["sets"] == 3
        assert entry["last_epoch"] == pytest.approx({"mean": statistics.fmean(means), "std": statistics.pstdev(means)})
        assert entry["best_epoch"] == pytest.approx({"mean": statistics.fmean(best), "std": statistics.pstdev(best)})
    assert [entry["network"] for entry in made["over_sets"]] == ["convnet1-w4", "mlp"]
    assert document({"one": SETS["one"]}, ["mlp"])["over_sets"] == []


def test_a_set_is_drawn_at_every_size() -> None:
    distilled = DistilledSet(some_gaussians(6), torch.arange(6) % 3, 8, 8, mean=[0.25], std=[0.5])
    found = compare({"one": distilled}, data_at, architectures=["mlp"], sizes=[(8, 8), (16, 16)], **FAST)
    assert [each.result.size for each in found] == [(8, 8), (16, 16)]
    expected = evaluate(distilled, grown(2), network="mlp", size=(16, 16), **FAST)
    assert found[1].result.repeats == expected.repeats


def test_all_is_checked_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(*_: object, **__: object) -> None:
        pytest.fail("it trained")

    monkeypatch.setattr("gsdd_runtime.evaluation.comparison.evaluate", too_late)
    wrong = easy_set(easy_data(class_names=("x", "y", "z")))
    for sets, architectures, words in (
        ({**SETS, "last": wrong}, ["mlp"], "class 0 is 'x' in the set"),
        (SETS, ["mlp", "nothing"], "unknown network 'nothing'"),
        ({}, ["mlp"], "there is no set"),
    ):
        with pytest.raises(InputError, match=words):
            compare(sets, data_at, architectures=architectures, **FAST)


def test_accuracies_after_some_epochs_are_of_one_training(made: dict[str, Any]) -> None:
    for result in made["results"]:
        of_tests = [repeat["accuracies"][repeat["epochs"].index(2)] for repeat in result["repeats"]]
        assert result["accuracy_at"] == {"2": {"mean": statistics.fmean(of_tests), "std": statistics.pstdev(of_tests)}}
    # The epochs that were asked for do not change what is trained.
    plain = evaluate(SETS["one"], DATA, network="mlp", **FAST)
    more = evaluate(SETS["one"], DATA, network="mlp", accuracy_at=(1, 2), **FAST)
    assert [repeat.at_last_epoch for repeat in plain.repeats] == [repeat.at_last_epoch for repeat in more.repeats]
    assert (plain.repeats[0].epochs, more.repeats[0].epochs) == ((3,), (1, 2, 3))
    assert more.to_dict()["best_epoch"] is None
    with pytest.raises(InputError, match="accuracy_at: 4 is not among the 3 epochs"):
        evaluate(SETS["one"], DATA, network="mlp", accuracy_at=(4,), **FAST)


def test_classes_are_counted_apart() -> None:
    """A set without images of a class teaches the others; the mean over classes of one size is the whole."""
    taught = DATA.train_labels[:9] > 0
    pixels = easy_set(DATA).pixels
    assert pixels is not None
    distilled = DistilledSet(
        None, DATA.train_labels[:9][taught], 8, 8, pixels=pixels[taught], class_names=DATA.class_names,
        mean=DATA.mean, std=DATA.std,
    )  # fmt: skip
    result = evaluate(distilled, DATA, network="convnet1-w8", **{**FAST, "epochs": 40})
    assert result.per_class == {"top": 0.0, "middle": 1.0, "bottom": 1.0}
    assert result.last_epoch_mean == pytest.approx(statistics.fmean(result.per_class.values()))


def test_the_text_has_every_figure(made: dict[str, Any]) -> None:
    text = comparison_text(made)
    for result in made["results"]:
        for figures in (result["last_epoch"], result["best_epoch"], result["accuracy_at"]["2"]):
            assert f"{100 * figures['mean']:.2f} +- {100 * figures['std']:.2f}" in text
        assert f"{result['set']['bits_per_class']:,.0f}" in text
    over = made["over_sets"][0]
    line = next(line for line in text.splitlines() if "mean of 3 sets +- deviation between sets  convnet1-w4" in line)
    assert f"{100 * over['last_epoch']['mean']:.2f} +- {100 * over['last_epoch']['std']:.2f}" in line
    classes = per_class_text(made).splitlines()
    assert [line.split()[0] for line in classes] == ["class", "top", "middle", "bottom"]
    assert "convnet1-w4" in classes[0]


def test_csv_has_a_row_for_each_cell(made: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_csv(made))))
    assert [(row["set"], row["network"]) for row in rows] == [
        (result["set"]["name"], result["network"]) for result in made["results"]
    ]
    for row, result in zip(rows, made["results"], strict=True):
        assert float(row["last_epoch_mean"]) == result["last_epoch"]["mean"]
        assert float(row["best_epoch_on_test_images_std"]) == result["best_epoch"]["std"]
        assert float(row["after_2_epochs_mean"]) == result["accuracy_at"]["2"]["mean"]
        assert (row["recipe"], row["epochs"], row["networks"], row["bytes"]) == (
            "dm", "3", "2", str(result["set"]["bytes"])
        )  # fmt: skip


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    data = easy_data(class_names=("a", "b", "c"))
    for name, count in (("one", 9), ("two", 6)):
        easy_set(data, count=count).save(tmp_path / f"{name}.safetensors")
    dataset = folder_of(data, tmp_path / "data")
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("one", "two")]
    return ["eval", *paths, "--dataset", dataset, "--networks", "convnet1-w4,mlp", "--repeats", "2", "--device", "cpu"]


def test_a_document_is_done_again(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--recipe", "dc", "--epochs", "3", "--seed", "5", "--tests", "2", "--accuracy-at", "1", "--sizes", "8"]
    assert run([*line, *options, "--json"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "first.json").write_text(text)
    assert run(["eval", "--again", str(tmp_path / "first.json"), "--json"]) == 0
    first, second = json.loads(text), json.loads(capsys.readouterr().out)
    assert second["results"] == first["results"]
    assert second["protocol"] == first["protocol"]
    assert second["again"]["largest_difference"] == 0
    assert second["again"]["same_sets"] is True
    assert run(["eval", "--again", str(tmp_path / "first.json")]) == 0
    assert "the same to the last digit" in capsys.readouterr().out


def test_what_differs_the_second_time_is_told(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*line, "--epochs", "2", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    first["results"][0]["last_epoch"]["mean"] += 0.125
    (tmp_path / "first.json").write_text(json.dumps(first))
    easy_set(easy_data(class_names=("a", "b", "c")), count=6, seed=1).save(line[2])
    assert run(["eval", "--again", str(tmp_path / "first.json"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["again"]
    assert again["largest_difference"] == pytest.approx(0.125)
    assert again["same_sets"] is False
    assert "up to 12.50 points away" in again["words"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("not JSON", "is not valid JSON"),
        ("{}", "has no protocol"),
        ('{"protocol": {"sets": 1}, "results": []}', "the protocol's sets is missing or of another type"),
    ],
)
def test_what_is_no_document_is_refused(
    change: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first.json").write_text(change)
    assert run(["eval", "--again", str(tmp_path / "first.json")]) == 2
    assert words in capsys.readouterr().err


@pytest.fixture(scope="module")
def made_before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A document of a set that is there no more."""
    folder = tmp_path_factory.mktemp("before")
    data = easy_data(class_names=("a", "b", "c"))
    easy_set(data, count=6).save(folder / "set.safetensors")
    words = ["--dataset", folder_of(data, folder / "data"), "--network", "mlp", "--epochs", "1", "--repeats", "1"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run(["eval", str(folder / "set.safetensors"), *words, "--device", "cpu", "--json"]) == 0
    (folder / "set.safetensors").unlink()
    return json.loads(printed.getvalue())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ({"sets": [3]}, "the protocol's sets has 3 in it"),
        ({"sets": [None]}, "the protocol's sets has None in it"),
        ({"networks": [3]}, "the protocol's networks has 3 in it"),
        ({"sizes": ["x"]}, "the protocol's sizes has 'x' in it"),
        ({"sizes": [[8, 8, 8]]}, "the protocol's sizes has [8, 8, 8] in it"),
        ({"sizes": [[8, True]]}, "the protocol's sizes has [8, True] in it"),
        ({"accuracy_at": ["1"]}, "the protocol's accuracy_at has '1' in it"),
        ({"data": {"dataset": "fashion-mnist-sample", "classes": [3]}}, "the protocol's classes is of another type"),
        ({"data": {"dataset": "fashion-mnist-sample", "data_dir": 3}}, "the protocol's data_dir is of another type"),
        ({"data": {"dataset": "fashion-mnist-sample", "other": 3}}, "the protocol's data has other"),
        ({}, "set.safetensors: No such file"),
    ],
    ids=str,
)
def test_a_document_that_was_edited_is_refused(
    protocol: dict[str, Any],
    words: str,
    made_before: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edited = {**made_before, "protocol": {**made_before["protocol"], **protocol}}
    (tmp_path / "first.json").write_text(json.dumps(edited))
    assert run(["eval", "--again", str(tmp_path / "first.json")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("mean", [None, "inf", "0.5", [0.5]])
def test_results_that_are_no_numbers_are_refused(
    mean: Any, made_before: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = {**made_before, "results": [{"last_epoch": {"mean": mean}}]}
    (tmp_path / "first.json").write_text(json.dumps(edited))
    assert run(["eval", "--again", str(tmp_path / "first.json")]) == 2
    assert "it was edited" in capsys.readouterr().err
    (tmp_path / "first.json").write_text(json.dumps({**made_before, "results": []}))
    assert run(["eval", "--again", str(tmp_path / "first.json")]) == 2
    assert "its results are not those of its protocol" in capsys.readouterr().err


def test_again_takes_no_other_protocol(
    line: list[str], made_before: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first.json").write_text("{}")
    again = ["--again", str(tmp_path / "first.json")]
    for more, words in (([line[1]], "leave the sets out"), (["--epochs", "3"], "leave --epochs out")):
        assert run(["eval", *more, *again]) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "first.json").write_text(json.dumps(made_before))
    for more, words in ((["--network", "lenet"], "leave --networks out"), (["--teacher", "x"], "leave --teacher out")):
        assert run(["eval", *more, *again]) == 2
        assert words in capsys.readouterr().err


def test_csv_is_written_whole_and_kept(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "table.csv"
    assert run([*line, "--epochs", "1", "--csv", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 5
    assert run([*line, "--epochs", "1", "--csv", str(out)]) == 2
    assert "exists: add --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--sizes", "8x"], "--sizes: '8x' is not a size"),
        (["--accuracy-at", "3,x"], "--accuracy-at: '3,x' are no epochs"),
        (["--recipe", "dsa"], "unknown recipe 'dsa'"),
        (["--networks", "mlp,nothing"], "unknown network 'nothing'"),
    ],
)
def test_lists_that_are_none_are_refused(
    option: list[str], words: str, line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*line, *option]) == 2
    assert words in capsys.readouterr().err


def test_the_same_set_twice_is_refused(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*line, line[1]]) == 2
    assert "is given twice" in capsys.readouterr().err
    assert run(["eval", line[1]]) == 2
    assert "give --dataset" in capsys.readouterr().err
    assert run(["eval", "--dataset", "fashion-mnist-sample"]) == 2
    assert "there is nothing to evaluate" in capsys.readouterr().err
