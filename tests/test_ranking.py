"""DD-Ranking's measures: the formulas by hand, and which networks are trained on what for them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set, folder_of

from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate, evaluate_whole
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.evaluation.ranking import (
    hard_label_recovery,
    improvement_over_random,
    label_robust_score,
    rank,
)

DATA = easy_data(class_names=("a", "b", "c"))
FAST: dict[str, Any] = {"network": "convnet1-w4", "epochs": 4, "repeats": 2, "augment": None, "device": "cpu"}
SOFT = easy_set(DATA, labels=torch.nn.functional.one_hot(DATA.train_labels[:9], 3).half() * 0.5 + 0.2)


def test_the_measures_are_differences_of_shares() -> None:
    assert hard_label_recovery(0.848, 0.648) == pytest.approx(0.2)
    assert improvement_over_random(0.648, 0.448) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("hlr", "ior", "weight", "a"), [(0.3, 0.2, 0.5, -0.05), (0.1, 0.6, 0.25, 0.075), (0.0, 1.0, 1.0, 1.0)]
)
def test_the_score_is_the_papers_formula_of_shares(hlr: float, ior: float, weight: float, a: float) -> None:
    expected = (math.e**a - 1 / math.e) / (math.e - 1 / math.e)
    assert label_robust_score(hlr, ior, weight) == pytest.approx(expected, abs=1e-12)


def test_the_score_goes_from_nothing_to_all() -> None:
    assert label_robust_score(1.0, -1.0) == pytest.approx(0.0)
    assert label_robust_score(-1.0, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("values", [(20.0, 10.0, 0.5), (0.1, 20.0, 0.5), (0.1, 0.1, 2.0), (math.nan, 0.1, 0.5)])
def test_percentages_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match=r"shares from 0 to 1|weight"):
        label_robust_score(*values)


def test_each_network_is_trained_on_what_its_measure_asks_for() -> None:
    found = rank(SOFT, DATA, seed=3, weight=0.25, **FAST)
    options = {**FAST, "seed": 3}
    hard = evaluate(easy_set(DATA), DATA, **options).last_epoch_mean
    own = evaluate(SOFT, DATA, **options).last_epoch_mean
    random = evaluate(random_real_set(DATA, per_class=3, seed=3), DATA, **options).last_epoch_mean
    whole = evaluate_whole(DATA, **options).last_epoch_mean
    means = {name: figures["mean"] for name, figures in found["accuracies"].items()}
    assert means == {"hard labels": hard, "own labels": own, "random images": random, "whole data": whole}
    assert found["hlr"] == whole - hard
    assert found["ior"] == own - random
    assert found["lrs"] == label_robust_score(whole - hard, own - random, 0.25)


def test_hard_labels_are_the_sets_own_and_a_known_whole_is_taken() -> None:
    found = rank(easy_set(DATA), DATA, whole=0.9, **FAST)
    assert set(found["accuracies"]) == {"hard labels", "random images", "whole data"}
    assert found["accuracies"]["whole data"] == {"mean": 0.9, "std": None}
    assert found["whole_given"] is True
    assert found["ior"] == found["accuracies"]["hard labels"]["mean"] - found["accuracies"]["random images"]["mean"]


def test_random_images_can_be_of_equal_bytes() -> None:
    """3 images of 128 bytes and 8 of a label each are 408 bytes a class: 6 real images."""
    found = rank(easy_set(DATA), DATA, whole=0.9, equal="bytes", **FAST)
    assert found["random_images_per_class"] == 6
    for options, words in (({"equal": "pixels"}, "equal 'pixels'"), ({"whole": 90.0}, "whole must be a share")):
        with pytest.raises(InputError, match=words):
            rank(easy_set(DATA), DATA, **{**FAST, **options})
    with pytest.raises(InputError, match="classes have 2 to 3 images"):
        rank(easy_set(DATA, count=8), DATA, **FAST)


def test_the_command_tells_the_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SOFT.save(tmp_path / "set.safetensors")
    line = ["rank", str(tmp_path / "set.safetensors"), "--dataset", folder_of(DATA, tmp_path / "data")]
    line += ["--network", "convnet1-w4", "--epochs", "4", "--repeats", "2", "--augment", "none", "--device", "cpu"]
    assert run([*line, "--whole", "90", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    expected = rank(SOFT, DATA, whole=0.9, **FAST)
    assert (document["hlr"], document["lrs"]) == (expected["hlr"], expected["lrs"])
    assert run([*line, "--whole", "90"]) == 0
    assert f"label-robust score (LRS, of shares, 0 to 1)           {expected['lrs']:.4f}" in capsys.readouterr().out
    assert run([*line, "--network", "mlp,convnet1-w4"]) == 2
    assert "networks of one kind" in capsys.readouterr().err
