"""The recipe against a loop written out by hand; examples; the trained network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Network, build
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.training import trainer
from gsdd_runtime.training.augmentation import dsa
from gsdd_runtime.training.trainer import Examples, Recipe, train, train_network

CPU = torch.device("cpu")
DATA = easy_data()


def small_network(seed: int = 0) -> Network:
    return build("convnet1-w4", 1, 3, (8, 8), seed=seed)


def by_hand(
    network: Network, images: Tensor, labels: Tensor, recipe: Recipe, generator: torch.Generator
) -> list[float]:
    """SGD with momentum and weight decay from its formulas; returns the loss of every epoch's last batch."""
    momentum: dict[str, Tensor] = {}
    losses = []
    for epoch in range(1, recipe.epochs + 1):
        past_half = 0 < recipe.epochs // 2 < epoch
        if epoch == recipe.epochs // 2 + 1:
            momentum = {}
        for indices in torch.randperm(len(images), generator=generator).split(recipe.batch_size):
            batch = images[indices]
            if recipe.augment:
                batch = dsa(batch, generator)
            chances = network(batch).log_softmax(dim=1)
            loss = -chances[torch.arange(len(indices)), labels[indices]].mean()
            names, values = zip(*network.named_parameters(), strict=True)
            for name, value, gradient in zip(names, values, torch.autograd.grad(loss, values), strict=True):
                step = gradient + recipe.weight_decay * value.detach()
                momentum[name] = recipe.momentum * momentum.get(name, torch.zeros_like(step)) + step
                value.data -= recipe.learning_rate / (10 if past_half else 1) * momentum[name]
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("augment", ["dsa", None])
@pytest.mark.parametrize("epochs", [1, 7])
def test_training_is_the_recipe(augment: str | None, epochs: int) -> None:
    recipe = Recipe(epochs=epochs, batch_size=4, learning_rate=0.05, weight_decay=0.01, augment=augment)
    distilled = easy_set(DATA)
    trained, expected = small_network().double(), small_network().double()
    images = distilled.decode(normalize=True).double()
    expected_losses = by_hand(expected, images, distilled.labels, recipe, torch.Generator().manual_seed(1))

    class Doubles(Examples):
        def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
            values, labels = super().batch(indices)
            return values.double(), labels

    losses: list[float] = []
    train_network(
        trained,
        Doubles(distilled, CPU),
        recipe,
        torch.Generator().manual_seed(1),
        lambda epoch, loss: losses.append(loss.item()),
    )
    # Worst differences measured: 2.3e-16 for the losses, 1.7e-16 for the weights.
    assert losses == pytest.approx(expected_losses, abs=1e-12)
    for ours, theirs in zip(trained.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_train_is_the_recipe_from_its_seed() -> None:
    options: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 4,
        "learning_rate": 0.05,
        "momentum": 0.5,
        "weight_decay": 0.1,
    }
    ours = train(easy_set(DATA), network="convnet1-w4", seed=5, device="cpu", **options)
    expected = build("convnet1-w4", 1, 3, (8, 8), derived_generator(5, "network"))
    examples = Examples(easy_set(DATA), CPU)
    train_network(expected, examples, Recipe(**options), derived_generator(5, "training"), lambda *_: None)
    assert all(map(torch.equal, ours.parameters(), expected.parameters()))


def test_a_trained_network_knows_its_images() -> None:
    distilled = easy_set(DATA)
    network = train(distilled, network="convnet1-w8", epochs=60, seed=1, device="cpu", augment=None)
    assert not network.training
    assert torch.equal(network(distilled.decode(normalize=True)).argmax(dim=1), distilled.labels)


def test_the_seed_fixes_the_weights() -> None:
    def weights(seed: int) -> Tensor:
        options: dict[str, Any] = {"network": "convnet1-w4", "epochs": 3, "device": "cpu"}
        return train(easy_set(DATA), seed=seed, **options).classifier.weight

    before = torch.get_rng_state()
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_images_decoded_batch_by_batch_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    distilled = easy_set(DATA)
    indices = torch.tensor([5, 0, 8, 0])
    kept = Examples(distilled, CPU)
    monkeypatch.setattr(trainer, "KEPT_BYTES", 0)
    fresh = Examples(distilled, CPU)
    assert kept._kept is not None
    assert fresh._kept is None
    assert torch.equal(kept.batch(indices)[0], fresh.batch(indices)[0])
    assert torch.equal(kept.batch(indices)[1], distilled.labels[indices])


def test_soft_labels_are_distributions() -> None:
    soft = torch.tensor([[2.0, 0, 2], [0, 1, 0], [1, 2, 5]]).repeat(3, 1).half()
    _, labels = Examples(easy_set(DATA, labels=soft), CPU).batch(torch.arange(3))
    assert torch.equal(labels, torch.tensor([[0.5, 0, 0.5], [0, 1, 0], [0.125, 0.25, 0.625]]))


def test_one_hot_soft_labels_train_like_hard_ones() -> None:
    options: dict[str, Any] = {"network": "convnet1-w4", "epochs": 4, "seed": 3, "device": "cpu"}
    one_hot = functional.one_hot(DATA.train_labels[:9]).half()
    hard = train(easy_set(DATA), **options).classifier.weight
    soft = train(easy_set(DATA, labels=one_hot), **options).classifier.weight
    # Worst difference measured: 0.
    torch.testing.assert_close(soft, hard, rtol=0, atol=1e-6)


def test_progress_ends_at_the_end() -> None:
    reports: list[Progress] = []
    train(easy_set(DATA), network="convnet1-w4", epochs=410, device="cpu", progress=reports.append)
    assert [report.step for report in reports] == list(range(2, 411, 2))
    assert all(report.total == 410 and report.loss is not None for report in reports)


def test_a_set_without_statistics_says_so() -> None:
    with pytest.raises(InputError, match="mean"):
        train(easy_set(DATA, mean=None, std=None), network="convnet1-w4", epochs=1, device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0}, {"epochs": 1.5}, {"epochs": True}, {"batch_size": 0}, {"learning_rate": 0.0},
        {"learning_rate": float("nan")}, {"learning_rate": float("inf")}, {"momentum": 1.0}, {"momentum": -0.1},
        {"weight_decay": -1.0}, {"weight_decay": float("nan")}, {"augment": "blur"},
    ],
    ids=str,
)  # fmt: skip
def test_numbers_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        Recipe(**change)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta", "xpu"])
def test_devices_that_are_not_there_are_refused(device: str) -> None:
    with pytest.raises(InputError, match="device"):
        train(easy_set(DATA), network="convnet1-w4", epochs=1, device=device)
