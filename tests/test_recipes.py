"""The table of recipes against the published protocols, and training by each against loops written out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.networks import Network, build
from gsdd_runtime.networks.embedding import classified
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.augmentation import draw_dsa
from gsdd_runtime.training.mixing import cropped, cutmix
from gsdd_runtime.training.recipe import RECIPES, ChosenRecipe, Recipe, choose_recipe
from gsdd_runtime.training.teacher import Teacher
from gsdd_runtime.training.trainer import Examples, loss_of, train, train_network

CPU = torch.device("cpu")
DATA = easy_data()
FAST: dict[str, Any] = {"network": "convnet1-w4", "epochs": 2, "repeats": 1, "device": "cpu"}


def chosen(name: str | None, images: int = 100, classes: int = 10, **changes: Any) -> ChosenRecipe:
    return choose_recipe(name, images=images, classes=classes, **{"network": "convnet3", **changes})


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("dm", {"epochs": 1000, "batch_size": 256, "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4,
                "augment": "dsa", "descent": "sgd", "schedule": "step"}),
        ("dc", {"epochs": 300, "batch_size": 256, "learning_rate": 0.01, "augment": None, "schedule": "step"}),
        ("sre2l", {"epochs": 300, "batch_size": 1024, "learning_rate": 0.001, "weight_decay": 0.01, "temperature": 20,
                   "augment": "cutmix", "descent": "adamw", "schedule": "cosine", "crop_scale": 0.08}),
        ("rded", {"epochs": 300, "batch_size": 50, "learning_rate": 0.001, "weight_decay": 0.01, "temperature": 20,
                  "augment": "cutmix", "descent": "adamw", "schedule": "half-cosine", "crop_scale": 0.5}),
        ("ncfm", {"epochs": 2000, "batch_size": 128, "learning_rate": 0.001, "weight_decay": 0.01, "mixed": 0.5,
                  "augment": "dsa-cutmix", "descent": "adamw-all", "schedule": "fifths", "temperature": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_recipe_is_the_published_protocol(name: str, published: dict[str, Any]) -> None:
    recipe = chosen(name).recipe
    assert {key: getattr(recipe, key) for key in published} == published


@pytest.mark.parametrize(
    ("per_class", "classes", "batch"), [(1, 10, 10), (10, 10, 50), (50, 10, 100), (10, 100, 100), (2, 3, 6)]
)
def test_rded_chooses_its_batch_by_the_images_a_class(per_class: int, classes: int, batch: int) -> None:
    assert chosen("rded", images=per_class * classes, classes=classes).recipe.batch_size == batch


def test_mtt_trains_at_the_rate_learned_with_the_set() -> None:
    learned = chosen("mtt", facts={"learning_rate": 0.0234})
    assert (learned.recipe.learning_rate, learned.rate_from) == (0.0234, "set")
    assert learned.recipe == Recipe(learning_rate=0.0234)
    given = chosen("mtt", facts={"learning_rate": 0.0234}, learning_rate=0.5)
    assert (given.recipe.learning_rate, given.rate_from) == (0.5, "option")
    with pytest.raises(InputError, match="recipe mtt trains at the rate learned with the set"):
        chosen("mtt")
    with pytest.raises(InputError, match="must be a number above 0, got 'fast'"):
        chosen("mtt", facts={"learning_rate": "fast"})


def test_a_set_is_trained_on_at_the_rate_in_its_file(tmp_path: Path) -> None:
    easy_set(DATA, training={"learning_rate": 0.0234}).save(tmp_path / "set")
    document = evaluate(DistilledSet.load(tmp_path / "set"), DATA, **FAST).to_dict()
    assert (document["recipe"], document["learning_rate"], document["learning_rate_from"]) == ("mtt", 0.0234, "set")
    options: dict[str, Any] = {"network": "convnet1-w4", "epochs": 3, "device": "cpu"}
    learned = train(DistilledSet.load(tmp_path / "set"), **options).classifier.weight
    assert torch.equal(learned, train(easy_set(DATA), learning_rate=0.0234, **options).classifier.weight)
    assert not torch.equal(learned, train(easy_set(DATA), **options).classifier.weight)


def test_a_learned_rate_chooses_mtt_and_no_other_recipe_takes_it() -> None:
    facts = {"learning_rate": 0.0234}
    assert (chosen(None).name, chosen(None, facts=facts).name) == ("dm", "mtt")
    assert chosen("dm", facts=facts).recipe.learning_rate == 0.01


def test_a_change_is_a_change_of_the_recipe() -> None:
    changes = {"epochs": 7, "batch_size": 3, "learning_rate": 0.5, "weight_decay": 0.0, "augment": None}
    recipe = chosen("sre2l", **changes).recipe
    assert {key: getattr(recipe, key) for key in changes} == changes
    assert recipe.descent == "adamw"
    assert chosen("dm", augment="recipe").recipe.augment == "dsa"
    with pytest.raises(InputError, match="unknown recipe 'dsa': choose one of dm, dc, mtt, sre2l, rded"):
        chosen("dsa")


@pytest.mark.parametrize(
    "change",
    [
        {"descent": "lion"},
        {"schedule": "linear"},
        {"temperature": 0.0},
        {"crop_scale": 0.0},
        {"mixed": 1.5},
        {"momentum": 1.0},
        {"weight_decay": -1e-9},
        {"weight_decay": math.inf},
        {"epochs": True},
        {"batch_size": 0},
    ],
    ids=str,
)
def test_what_no_recipe_knows_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        Recipe(**change)


def by_hand(network: Network, images: Tensor, targets: Tensor, recipe: Recipe) -> list[float]:
    """AdamW with a cosine from its formulas, the whole set a batch; the loss of every epoch."""
    means: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    losses = []
    for epoch in range(recipe.epochs):
        share = epoch / recipe.epochs / (2 if recipe.schedule == "half-cosine" else 1)
        rate = recipe.learning_rate * (1 + math.cos(math.pi * share)) / 2
        logits = network(images) / recipe.temperature
        loss = -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
        names, values = zip(*network.named_parameters(), strict=True)
        for name, value, gradient in zip(names, values, torch.autograd.grad(loss, values), strict=True):
            means[name] = 0.9 * means.get(name, torch.zeros_like(value)) + 0.1 * gradient
            squares[name] = 0.999 * squares.get(name, torch.zeros_like(value)) + 0.001 * gradient**2
            # Norms and biases are spared.
            if value.dim() > 1:
                value.data *= 1 - rate * recipe.weight_decay
            mean, square = means[name] / (1 - 0.9 ** (epoch + 1)), squares[name] / (1 - 0.999 ** (epoch + 1))
            value.data -= rate * mean / (square.sqrt() + 1e-8)
        losses.append(loss.item())
    return losses


class Doubles(Examples):
    """Examples in float64."""

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = super().batch(indices)
        return images.double(), labels.double() if labels.is_floating_point() else labels


@pytest.mark.parametrize("schedule", ["cosine", "half-cosine"])
def test_training_with_soft_labels_is_adamw_at_a_temperature(schedule: str) -> None:
    soft = torch.rand(9, 3, generator=torch.Generator().manual_seed(4)).half()
    recipe = Recipe(
        epochs=5, learning_rate=0.01, weight_decay=0.3, augment=None, descent="adamw", schedule=schedule, temperature=4
    )
    distilled = easy_set(DATA, labels=soft)
    ours, expected = (build("convnet1-w4", 1, 3, (8, 8), seed=0).double() for _ in range(2))
    targets = soft.float() / soft.float().sum(dim=1, keepdim=True)
    expected_losses = by_hand(expected, distilled.decode(normalize=True).double(), targets.double(), recipe)
    losses: list[float] = []
    train_network(
        ours, Doubles(distilled, CPU), recipe, torch.Generator(), lambda epoch, loss: losses.append(loss.item())
    )
    assert losses == pytest.approx(expected_losses, abs=1e-6)
    for one, other in zip(ours.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_hard_labels_have_no_temperature() -> None:
    options: dict[str, Any] = {"network": "convnet1-w4", "epochs": 2, "seed": 3, "device": "cpu", "recipe": "sre2l"}
    one_hot = torch.nn.functional.one_hot(DATA.train_labels[:9]).half()
    hard = train(easy_set(DATA), augment=None, **options).classifier.weight
    soft = train(easy_set(DATA, labels=one_hot), augment=None, **options).classifier.weight
    assert not torch.equal(hard, soft)
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    assert loss_of(logits, labels) == torch.nn.functional.cross_entropy(logits, labels)


def test_cutmix_trains_on_mixed_images_and_mixed_labels() -> None:
    """One batch of the recipe by hand: crops, pasted parts, labels by area."""
    recipe = Recipe(epochs=1, augment="cutmix", descent="adamw", schedule="cosine", temperature=20, crop_scale=0.3)
    distilled = easy_set(DATA)
    network = build("convnet1-w4", 1, 3, (8, 8), seed=0)
    generator = torch.Generator().manual_seed(8)
    order = torch.randperm(9, generator=generator)
    images, mix = cutmix(cropped(distilled.decode(order, normalize=True), generator, 0.3), generator)
    targets = torch.eye(3)[distilled.labels[order]]
    targets = mix.share * targets + (1 - mix.share) * targets[mix.partners]
    expected = -(targets * network(images).log_softmax(dim=1)).sum(dim=1).mean()
    losses: list[Tensor] = []
    train_network(
        network, Examples(distilled, CPU), recipe, torch.Generator().manual_seed(8), lambda _, loss: losses.append(loss)
    )
    torch.testing.assert_close(losses[0], expected.detach())


def test_ncfm_mixes_half_of_the_batches_after_several_changes() -> None:
    """Batches by hand: a flip, a color, one of three, and a coin for CutMix."""
    recipe = Recipe(epochs=1, batch_size=2, learning_rate=1e-30, augment="dsa-cutmix", descent="adamw-all", mixed=0.5)
    distilled = easy_set(DATA)
    network = build("convnet1-w4", 1, 3, (8, 8), seed=0)
    mixed = 0
    losses: list[Tensor] = []
    for seed in range(8):
        train_network(
            network, Examples(distilled, CPU), recipe, torch.Generator().manual_seed(seed),
            lambda _, loss: losses.append(loss),
        )  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        for part in torch.randperm(9, generator=generator).split(2):
            images, targets = distilled.decode(part, normalize=True), torch.eye(3)[distilled.labels[part]]
            for strategy in ("flip", "color", "crop_scale_rotate"):
                images = draw_dsa(generator, len(part), strategy=strategy).apply(images)
            if torch.rand((), generator=generator, dtype=torch.float64) < 0.5:
                images, mix = cutmix(images, generator)
                targets = mix.share * targets + (1 - mix.share) * targets[mix.partners]
                mixed += 1
        expected = -(targets * network(images).log_softmax(dim=1)).sum(dim=1).mean()
        torch.testing.assert_close(losses[-1], expected.detach())
    assert 10 < mixed < 30


def test_ncfm_halves_its_rate_after_each_fifth_and_decays_every_number() -> None:
    """PyTorch's own AdamW and MultiStepLR, as the published code makes them."""
    recipe = chosen("ncfm", epochs=13, augment=None).recipe
    distilled = easy_set(DATA)
    ours, expected = (build("convnet1-w4", 1, 3, (8, 8), seed=0) for _ in range(2))
    optimizer = torch.optim.AdamW(expected.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [k * 13 // 5 for k in (1, 2, 3, 4)], gamma=0.5)
    generator = torch.Generator().manual_seed(1)
    for epoch in range(1, 14):
        assert recipe.rate(epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        images, labels = Examples(distilled, CPU).batch(torch.randperm(9, generator=generator))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(classified(expected, images), labels).backward()
        optimizer.step()
        scheduler.step()
    train_network(ours, Examples(distilled, CPU), recipe, torch.Generator().manual_seed(1), lambda *_: None)
    for one, other in zip(ours.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


def test_a_teacher_labels_what_the_network_sees() -> None:
    """Its labels are of the mixed images, at the recipe's temperature, whatever the set's labels say."""
    recipe = Recipe(epochs=1, augment="cutmix", descent="adamw", schedule="cosine", temperature=5.0)
    distilled = easy_set(DATA)
    known = build("convnet1-w8", 1, 3, (8, 8), seed=9)
    teacher = Teacher("one", [known], DATA.preparation, 3, None).for_training(distilled.preparation, (8, 8))
    network = build("convnet1-w4", 1, 3, (8, 8), seed=0)
    generator = torch.Generator().manual_seed(8)
    order = torch.randperm(9, generator=generator)
    images, _ = cutmix(cropped(distilled.decode(order, normalize=True), generator, 0.08), generator)
    targets = (known(images) / 5).softmax(dim=1)
    expected = -(targets * (network(images) / 5).log_softmax(dim=1)).sum(dim=1).mean()
    losses: list[Tensor] = []
    train_network(
        network, Examples(distilled, CPU), recipe, torch.Generator().manual_seed(8),
        lambda _, loss: losses.append(loss), teacher,
    )  # fmt: skip
    torch.testing.assert_close(losses[0], expected.detach())


@pytest.mark.parametrize("name", ["dm", "dc", "sre2l", "rded", "ncfm"])
def test_a_recipe_is_named_with_all_its_numbers(name: str) -> None:
    result = evaluate(easy_set(DATA), DATA, recipe=name, **FAST)
    document = result.to_dict()
    assert document["recipe"] == name
    wanted = chosen(name, images=9, classes=3, epochs=2).recipe
    assert {key: document[key] for key in vars(wanted)} == vars(wanted)
    assert document["learning_rate_from"] == "recipe"


def test_a_recipe_of_teachers_learns_what_the_teacher_knows() -> None:
    """A teacher that calls every class by the next one's name is what the network learns."""
    known = train(easy_set(DATA), network="convnet1-w8", epochs=60, device="cpu", augment=None)
    with torch.no_grad():
        known.classifier.weight.copy_(known.classifier.weight.roll(1, dims=0))
        known.classifier.bias.copy_(known.classifier.bias.roll(1, dims=0))
    teacher = Teacher("turned", [known], DATA.preparation, 3, DATA.class_names)
    options: dict[str, Any] = {**FAST, "epochs": 60, "augment": None, "learning_rate": 0.01}
    result = evaluate(easy_set(DATA), DATA, recipe="sre2l", teacher=teacher, **options)
    assert result.teacher == "turned"
    assert result.last_epoch_mean < 0.1


def test_every_recipe_is_in_the_table_once() -> None:
    assert list(RECIPES) == ["dm", "dc", "mtt", "sre2l", "rded", "ncfm", "cross"]


@pytest.mark.parametrize(
    ("network", "rate"), [("alexnet", 1e-3), ("vit", 5e-5), ("vgg11", 1e-2), ("resnet18", 1e-2), ("convnet3", 1e-2)]
)
def test_across_architectures_each_trains_at_its_published_rate_by_a_cosine(network: str, rate: float) -> None:
    cross = chosen("cross", network=network, epochs=4)
    assert cross.recipe == Recipe(epochs=4, learning_rate=rate, schedule="cosine")
    assert cross.rate_from == "network"
    # GSDD's scheduler: from the rate to 0, a step an epoch.
    assert [cross.recipe.rate(epoch) for epoch in (1, 3)] == pytest.approx([rate, rate / 2])
    given = chosen("cross", network=network, learning_rate=0.5)
    assert (given.recipe.learning_rate, given.recipe.schedule, given.rate_from) == (0.5, "cosine", "option")


@pytest.mark.parametrize(("network", "rate"), [("alexnet", 1e-3), ("mlp", 1e-2)])
def test_the_result_across_architectures_says_the_rate_of_its_network(network: str, rate: float) -> None:
    options: dict[str, Any] = {"epochs": 1, "repeats": 1, "device": "cpu"}
    document = evaluate(easy_set(DATA), DATA, recipe="cross", network=network, **options).to_dict()
    assert (document["learning_rate"], document["schedule"]) == (rate, "cosine")
    assert (document["recipe"], document["learning_rate_from"]) == ("cross", "network")


def test_the_page_tells_every_recipe() -> None:
    page = (Path(__file__).parent.parent / "docs" / "evaluation.md").read_text()
    for name, recipe in RECIPES.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1] == str(recipe.epochs)
        assert str(recipe.batch_size) in cells[2]
        assert (recipe.augment == "dsa") == (cells[5] == "DSA")
