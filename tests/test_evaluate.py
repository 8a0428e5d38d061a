"""Evaluation: what is trained and tested, what is reported, and what does not fit together."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_images, easy_set
from set_files import some_gaussians, whitened_by_hand
from torch import Tensor, nn

from gsdd_runtime import evaluate as evaluate_function
from gsdd_runtime import networks
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.evaluation.result import EvaluationResult, Repeat
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.real_images import RealTest
from gsdd_runtime.training.trainer import Examples, Recipe, train_network

# The package's attribute of this name is the function.
MODULE = sys.modules["gsdd_runtime.evaluation.accuracy"]
DATA = easy_data()


FAST: dict[str, Any] = {"network": "convnet1-w8", "epochs": 40, "repeats": 2, "device": "cpu", "augment": None}


def accuracy_by_hand(network: nn.Module, distilled: DistilledSet) -> float:
    assert distilled.mean is not None
    assert distilled.std is not None
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (distilled.mean, distilled.std))
    guesses = network((DATA.test_images / 255 - mean) / std).argmax(dim=1)
    return (guesses == DATA.test_labels).double().mean().item()


def test_a_repeat_is_a_network_trained_by_the_recipe_and_tested_on_the_test_images() -> None:
    options: dict[str, Any] = {
        "epochs": 9,
        "batch_size": 4,
        "learning_rate": 0.02,
        "momentum": 0.5,
        "weight_decay": 0.1,
    }
    distilled = easy_set(DATA)
    result = evaluate(
        distilled, DATA, network="convnet1-w4", repeats=2, tests=3, seed=5, device="cpu", augment="dsa", **options
    )
    for index, repeat in enumerate(result.repeats):
        generator = derived_generator(5, "evaluate", index)
        network = networks.build("convnet1-w4", 1, 3, (8, 8), generator)
        after: list[tuple[float, float]] = []
        train_network(
            network, Examples(distilled, torch.device("cpu")), Recipe(augment="dsa", **options), generator,
            lambda epoch, loss: after.append((accuracy_by_hand(network, distilled), loss.item())),  # noqa: B023
        )  # fmt: skip
        assert repeat.epochs == (3, 6, 9)
        assert repeat.accuracies == tuple(after[epoch - 1][0] for epoch in repeat.epochs)
        assert repeat.loss == after[-1][1]


def test_networks_learn_what_the_set_shows() -> None:
    result = evaluate(easy_set(DATA), DATA, **FAST)
    assert result.last_epoch_mean == 1.0
    # A set whose labels are turned round teaches the wrong classes.
    wrong = evaluate(easy_set(DATA, labels=(DATA.train_labels[:9] + 1) % 3), DATA, **FAST)
    assert wrong.last_epoch_mean == 0.0


def test_the_package_offers_it() -> None:
    assert evaluate_function is evaluate


@pytest.mark.parametrize("augment", ["dsa", None])
def test_the_seed_fixes_everything(augment: str | None) -> None:
    options = {**FAST, "epochs": 6, "augment": augment, "repeats": 3}
    before = torch.get_rng_state()
    first, second = (evaluate(easy_set(DATA), DATA, seed=3, **options) for _ in range(2))
    other = evaluate(easy_set(DATA), DATA, seed=4, **options)
    assert first == second
    assert [r.loss for r in first.repeats] != [r.loss for r in other.repeats]
    assert len({repeat.loss for repeat in first.repeats}) == 3
    assert torch.equal(torch.get_rng_state(), before)


def test_one_network_at_a_time_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    together = evaluate(easy_set(DATA), DATA, **FAST)
    torch.set_num_threads(1)
    monkeypatch.setattr(MODULE, "SMALL_BATCH", 0)
    alone = evaluate(easy_set(DATA), DATA, **FAST)
    assert together.threads == 1
    assert together == alone


@pytest.mark.parametrize(("threads", "repeats", "each"), [(2, 5, 1), (4, 2, 2), (3, 1, 3)])
def test_threads_are_shared_out_and_left_as_they_were(threads: int, repeats: int, each: int) -> None:
    torch.set_num_threads(threads)
    result = evaluate(easy_set(DATA), DATA, **{**FAST, "epochs": 1, "repeats": repeats})
    assert result.threads == each
    assert torch.get_num_threads() == threads


def test_means_and_deviations_are_over_the_repeats() -> None:
    repeats = (Repeat((1, 2), (0.5, 0.4), 0.1), Repeat((1, 2), (0.7, 0.8), 0.2), Repeat((1, 2), (0.6, 0.6), 0.3))
    result = EvaluationResult(repeats, "convnet3", Recipe(), (8, 8), 0, 2, "cpu", 1, {}, {}, {})
    assert result.last_epoch_mean == pytest.approx(0.6)
    assert result.last_epoch_std == pytest.approx((0.08 / 3) ** 0.5)
    assert result.best_epoch_mean == pytest.approx((0.5 + 0.8 + 0.6) / 3)
    assert result.best_epoch_std == pytest.approx((0.14 / 9) ** 0.5)


@pytest.mark.parametrize(
    ("epochs", "tests", "tested"),
    [(40, 4, (10, 20, 30, 40)), (3, 20, (1, 2, 3)), (10, 3, (3, 6, 10)), (5, 1, (5,)), (1, 1, (1,))],
)
def test_the_last_test_is_at_the_end(epochs: int, tests: int, tested: tuple[int, ...]) -> None:
    result = evaluate(easy_set(DATA), DATA, **{**FAST, "epochs": epochs, "tests": tests, "repeats": 1})
    (repeat,) = result.repeats
    assert repeat.epochs == tested
    assert result.tests == len(tested) == len(repeat.accuracies)
    assert repeat.at_last_epoch == repeat.accuracies[-1]
    assert repeat.at_best_epoch == max(repeat.accuracies)


def test_the_document_holds_what_it_takes_to_do_it_again() -> None:
    distilled = easy_set(DATA, method="dm", ipc=1, gpc=3, seed=9, fingerprint="sha256:00")
    result = evaluate(distilled, DATA, seed=5, tests=20, **FAST)
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert document["last_epoch"] == {"mean": result.last_epoch_mean, "std": result.last_epoch_std}
    assert document["best_epoch"]["of_tests"] == 20
    assert [repeat["last_epoch"] for repeat in document["repeats"]] == [
        repeat.at_last_epoch for repeat in result.repeats
    ]
    expected = {
        "network": "convnet1-w8", "epochs": 40, "batch_size": 256, "learning_rate": 0.01, "momentum": 0.9,
        "weight_decay": 5e-4, "augment": None, "seed": 5, "size": [8, 8], "device": "cpu",
    }  # fmt: skip
    assert {name: document[name] for name in expected} == expected
    assert document["set"]["images"] == 9
    assert document["set"]["bytes"] == distilled.nbytes
    assert document["set"]["data_fingerprint"] == "sha256:00"
    assert document["data"] == {"name": "easy", "test_images": 24, "fingerprint": DATA.fingerprint}
    assert set(document["versions"]) == {"gsdd-rt", "torch"}


def test_one_network_has_no_deviation() -> None:
    document = evaluate(easy_set(DATA), DATA, tests=2, **{**FAST, "epochs": 2, "repeats": 1}).to_dict()
    assert document["last_epoch"]["std"] is None
    assert document["best_epoch"]["std"] is None


def test_the_document_says_epochs_and_what_chose_the_best() -> None:
    document = evaluate(easy_set(DATA), DATA, tests=20, **{**FAST, "epochs": 3}).to_dict()
    assert document["best_epoch"]["chosen_on"] == "test images"
    assert document["best_epoch"]["of_tests"] == 3
    assert {"last_epoch", "best_epoch"} < set(document["repeats"][0])
    assert "checkpoint" not in json.dumps(document)
    assert "iteration" not in json.dumps(document)


def test_test_images_are_normalised_as_the_set_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsdd_runtime.training.real_images._BATCH", 7)
    network = networks.build("convnet1-w8", 1, 3, (8, 8), seed=3)
    for mean, std in ((DATA.mean, DATA.std), ([0.9], [0.05]), ([0.0], [2.0])):
        distilled = easy_set(DATA, mean=mean, std=std)
        test = RealTest(distilled.preparation, DATA, torch.device("cpu"))
        assert test.accuracy(network) == accuracy_by_hand(network, distilled)


def test_a_set_without_statistics_takes_those_of_the_data() -> None:
    with_them = evaluate(easy_set(DATA), DATA, **FAST)
    without = evaluate(easy_set(DATA, mean=None, std=None), DATA, **FAST)
    assert without.repeats == with_them.repeats


def test_a_set_without_statistics_is_reported_like_one_with_them() -> None:
    told: dict[str, Any] = {
        "method": "dm", "ipc": 1, "gpc": 3, "seed": 9, "fingerprint": "sha256:00", "options": {"a": 1},
        "versions": {"torch": "2"},
    }  # fmt: skip
    options = {**FAST, "epochs": 1}
    with_them = evaluate(easy_set(DATA, **told), DATA, **options)
    without = evaluate(easy_set(DATA, mean=None, std=None, class_names=None, **told), DATA, **options)
    assert without.distilled == with_them.distilled
    assert {name: without.distilled[name] for name in ("method", "ipc", "gpc", "seed")} == {
        name: told[name] for name in ("method", "ipc", "gpc", "seed")
    }


def test_no_augmentation_has_two_spellings() -> None:
    options = {**FAST, "epochs": 2}
    spelled = evaluate(easy_set(DATA), DATA, **{**options, "augment": "none"})
    assert spelled == evaluate(easy_set(DATA), DATA, **{**options, "augment": None})
    assert spelled.to_dict()["augment"] is None
    assert spelled != evaluate(easy_set(DATA), DATA, **{**options, "augment": "dsa"})


@pytest.mark.parametrize("statistics", [{}, {"mean": [0.9], "std": [0.05]}, {"mean": None, "std": None}], ids=str)
def test_a_set_that_whitens_whitens_the_test_images_alike(statistics: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(64, 64, generator=generator))[0] / DATA.std[0]
    zca = torch.cat([turn, -DATA.mean[0] * turn.sum(dim=0, keepdim=True)])
    options = {**FAST, "network": "mlp", "epochs": 100}
    distilled = easy_set(DATA, zca=zca, **statistics)
    assert evaluate(distilled, DATA, **options).last_epoch_mean == 1.0
    network = networks.build("mlp", 1, 3, (8, 8), seed=3)
    guesses = network(whitened_by_hand(DATA.test_images / 255, zca).float()).argmax(dim=1)
    accuracy = (guesses == DATA.test_labels).double().mean().item()
    assert RealTest(distilled.preparation, DATA, torch.device("cpu")).accuracy(network) == accuracy


def test_gaussians_are_decoded_at_another_size() -> None:
    large = tuple(
        (images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), labels)
        for images, labels in (easy_images(30, 1, 1), easy_images(24, 1, 2))
    )
    data = easy_data(train=large[0], test=large[1])
    distilled = DistilledSet(some_gaussians(6), torch.arange(6) % 3, 8, 8, mean=[0.25], std=[0.5])
    options = {**FAST, "epochs": 1}
    assert evaluate(distilled, data, size=(16, 16), **options).size == (16, 16)
    with pytest.raises(InputError, match="8x8, those of easy 16x16"):
        evaluate(distilled, data, **options)
    with pytest.raises(InputError, match="16x16, those of easy 8x8"):
        evaluate(distilled, DATA, size=(16, 16), **options)


def test_progress_names_each_network() -> None:
    reports: list[Progress] = []
    evaluate(easy_set(DATA), DATA, progress=reports.append, **{**FAST, "epochs": 5})
    for phase in ("network 1 of 2", "network 2 of 2"):
        assert [report.step for report in reports if report.phase == phase] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("side_by_side", [True, False])
def test_an_interruption_ends_all_networks(side_by_side: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2 if side_by_side else 1)
    if not side_by_side:
        monkeypatch.setattr(MODULE, "SMALL_BATCH", 0)
    reports: list[Progress] = []

    def interrupt(report: Progress) -> None:
        reports.append(report)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(easy_set(DATA), DATA, progress=interrupt, **{**FAST, "epochs": 20_000, "tests": 1})
    # Each of the two networks may be past its first report before it learns of the end.
    assert max(report.step for report in reports) < 10_000


def labelled(channels: int, classes: int, names: tuple[str, ...] | None = None) -> DistilledSet:
    pixels = torch.zeros(classes, channels, 8, 8, dtype=torch.bfloat16)
    return DistilledSet(None, torch.arange(classes), 8, 8, pixels=pixels, class_names=names)


def without_test(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images[:0], labels[:0]


@pytest.mark.parametrize(
    ("distilled", "message"),
    [
        (labelled(3, 3), "the set has 3 channels, the dataset easy has 1"),
        (labelled(1, 4), "the set has 4 classes, the dataset easy has 3"),
        (labelled(1, 3, ("top", "bottom", "middle")), "class 1 is 'bottom' in the set and 'middle' in easy"),
    ],
)
def test_a_set_of_other_data_is_refused(distilled: DistilledSet, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(distilled, DATA, **FAST)


@pytest.mark.parametrize(
    "change",
    [{"repeats": 0}, {"repeats": 2.0}, {"tests": 0}, {"epochs": 0}, {"network": "nothing"}, {"device": "tpu"}],
    ids=str,
)
def test_wrong_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        evaluate(easy_set(DATA), DATA, **{**FAST, **change})


def test_data_without_test_images_is_refused() -> None:
    data = easy_data(test=without_test(*easy_images(3, 1, 1)))
    with pytest.raises(InputError, match="no test images"):
        evaluate(easy_set(DATA), data, **FAST)


@pytest.mark.cuda
def test_cuda_learns_and_the_seed_fixes_it() -> None:
    options = {**FAST, "device": "cuda", "augment": "dsa", "epochs": 200}
    first, second = (evaluate(easy_set(DATA), DATA, **options) for _ in range(2))
    assert first == second
    assert first.last_epoch_mean > 0.9
