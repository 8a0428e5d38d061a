"""Stored labels of every augmented view: a training by them is a training by the teacher, and what a file may hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from easy_data import easy_data, easy_set, folder_of
from teacher_data import teacher_of
from torch import Tensor
from torch.nn import functional

import gsdd_runtime as gsdd
from gsdd_runtime import networks
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.teaching import load_labels, load_teacher
from gsdd_runtime.networks.model_file import load_model
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.container import write_container
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.mixing import cropped, cutmix
from gsdd_runtime.training.recipe import RECIPES
from gsdd_runtime.training.trainer import train
from gsdd_runtime.training.view_labeling import label_views
from gsdd_runtime.training.view_labels import KIND, ViewLabels, load_view_labels, packed

DATA = easy_data()
SET = easy_set(DATA)
NETWORK, SEED, EPOCHS = "convnet1-w4", 7, 3


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(teacher_of(tmp_path_factory.mktemp("views") / "teacher.safetensors", DATA, "convnet1-w8-batch"))


def labels_of(teacher: Path, **changes: Any) -> ViewLabels:
    options: dict[str, Any] = {"epochs": EPOCHS, "recipe": "rded", "seed": SEED, "device": "cpu"}
    return label_views(SET, load_teacher(teacher), **{**options, **changes})


def test_the_likeliest_classes_are_kept_and_the_others_have_the_rest_alike(teacher: Path) -> None:
    shares = torch.tensor([[0.1, 0.6, 0.05, 0.25], [0.25, 0.25, 0.25, 0.25]])
    made = labels_of(teacher)
    for top, expected in ((1, [0.4 / 3, 0.6, 0.4 / 3, 0.4 / 3]), (2, [0.075, 0.6, 0.075, 0.25]), (3, shares[0])):
        kept = [part[None] for part in packed(shares, top)]
        assert [part.dtype for part in kept] == [torch.uint8, torch.float16]
        assert kept[1].shape == (1, 2, top + 1)
        found = replace(made, top=kept[0], shares=kept[1], classes=4).of(1, torch.tensor([0, 1]), torch.device("cpu"))
        torch.testing.assert_close(found[0], torch.as_tensor(expected), rtol=2e-3, atol=1e-4)
        torch.testing.assert_close(found.sum(dim=1), torch.ones(2))


def views_by_hand(epoch: int, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Indices and images of each batch of an epoch, from 1, of the recipe rded."""
    images = (SET.decode() - DATA.mean[0]) / DATA.std[0]
    generator = derived_generator(SEED, "views", epoch)
    found = []
    for indices in torch.randperm(len(SET), generator=generator).split(batch_size):
        found.append((indices, cutmix(cropped(images[indices], generator, 0.5), generator)[0]))
    return found


def test_labels_are_the_teachers_of_each_view(teacher: Path) -> None:
    labels, known = labels_of(teacher), load_model(teacher)
    assert (labels.top.shape, labels.shares.shape) == ((EPOCHS, 9, 2), (EPOCHS, 9, 3))
    assert labels.nbytes == EPOCHS * 9 * (2 + 3 * 2)
    for epoch in range(1, EPOCHS + 1):
        for indices, images in views_by_hand(epoch, labels.made_by.batch_size):
            expected = (known.network(images) / 20).softmax(dim=1)
            torch.testing.assert_close(labels.of(epoch, indices, images.device), expected, rtol=0, atol=1e-3)


def test_a_training_by_stored_labels_sees_their_views(teacher: Path) -> None:
    labels = labels_of(teacher)
    recipe = labels.made_by
    # Without a norm, which leaves biases before it a gradient of rounding alone.
    found = train(SET, network="convnet1-w4-nonorm", teacher=labels, epochs=2, seed=4, device="cpu")
    network = networks.build("convnet1-w4-nonorm", 1, 3, (8, 8), derived_generator(4, "network"))
    # Of the two epochs of this training, not of the three that are labelled.
    recipe = replace(recipe, epochs=2)
    optimiser = recipe.optimiser(network, recipe.learning_rate)
    for epoch in (1, 2):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(epoch)
        for indices, images in views_by_hand(epoch, recipe.batch_size):
            loss = functional.cross_entropy(network(images) / 20, labels.of(epoch, indices, images.device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    for ours, theirs in zip(found.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_seed_of_a_training_decides_its_network_and_not_its_views(teacher: Path) -> None:
    labels = labels_of(teacher)
    trained = [train(SET, network=NETWORK, teacher=labels, seed=seed, device="cpu") for seed in (0, 0, 1)]
    weights = [one.classifier.weight for one in trained]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(labels.shares, labels_of(teacher, seed=SEED + 1).shares)


def test_an_evaluation_counts_them_and_takes_their_recipe(teacher: Path) -> None:
    labels = labels_of(teacher)
    found = gsdd.evaluate(SET, DATA, network=NETWORK, repeats=2, teacher=labels, device="cpu")
    assert (found.recipe_name, found.recipe.epochs, found.teacher) == ("rded", EPOCHS, labels.name)
    assert found.distilled["bytes"] == SET.nbytes + labels.nbytes
    assert found.distilled["bits_per_class"] == 8 * (SET.nbytes + labels.nbytes) / 3
    assert found.repeats[0].loss != found.repeats[1].loss


def test_labels_of_smaller_batches_are_of_the_views_of_those(teacher: Path) -> None:
    labels, known = labels_of(teacher, batch_size=4), load_model(teacher)
    for indices, images in views_by_hand(2, 4):
        expected = (known.network(images) / 20).softmax(dim=1)
        torch.testing.assert_close(labels.of(2, indices, images.device), expected, rtol=0, atol=1e-3)
    # A training takes their batch size unless another one is asked for.
    found = gsdd.evaluate(SET, DATA, network=NETWORK, repeats=1, teacher=labels, device="cpu")
    assert (found.recipe_name, found.recipe.batch_size) == ("rded", 4)
    for options, words in (
        ({"batch_size": 3}, "of views with batch_size 4, and the training has 3"),
        ({"recipe": "sre2l"}, "of views with batch_size 4, and the training has 1024"),
    ):
        with pytest.raises(InputError, match=words):
            train(SET, network=NETWORK, teacher=labels, device="cpu", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 4}, "are of 3 epochs, fewer than the 4 of the training"),
        ({"recipe": "sre2l"}, "are of views with batch_size 9, and the training has 1024: leave the recipe to them"),
        ({"recipe": "rded", "augment": "dsa"}, "with augment cutmix, and the training has dsa"),
        ({"size": (16, 16)}, "of views of other images, or of another size"),
    ],
    ids=["epochs", "recipe", "augment", "size"],
)
def test_another_training_is_refused(options: dict[str, Any], words: str, teacher: Path) -> None:
    with pytest.raises(InputError, match=words):
        train(SET, network=NETWORK, teacher=labels_of(teacher), device="cpu", **options)


def test_other_images_and_real_ones_are_refused(teacher: Path) -> None:
    labels = labels_of(teacher)
    other = easy_set(DATA, labels=DATA.train_labels[1:10])
    assert train(other, network=NETWORK, teacher=labels, epochs=1, device="cpu") is not None
    assert SET.pixels is not None
    moved = SET.changed(pixels=SET.pixels.roll(1, 0))
    for door in (gsdd.evaluate, lambda one, _, **options: train(one, **{**options, "network": NETWORK})):
        with pytest.raises(InputError, match="of views of other images"):
            door(moved, DATA, teacher=labels, device="cpu")  # type: ignore[operator]
    from gsdd_runtime.evaluation.accuracy import evaluate_whole

    with pytest.raises(InputError, match="holds labels of a set's views, not of real images"):
        evaluate_whole(DATA, teacher=labels, device="cpu")
    with pytest.raises(InputError, match="knows 3 classes, the set has 2"):
        train(easy_set(DATA, labels=DATA.train_labels[:9] % 2, class_names=None), teacher=labels, device="cpu")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"top": 3}, "top must be below the 3 classes of the set, got 3"),
        ({"top": 0}, "top must be a whole number of at least 1"),
        ({"recipe": "none"}, "unknown recipe 'none'"),
    ],
)
def test_what_cannot_be_labelled_is_refused(options: dict[str, Any], words: str, teacher: Path) -> None:
    with pytest.raises(InputError, match=words):
        labels_of(teacher, **options)


def test_a_file_gives_back_what_was_written(teacher: Path, tmp_path: Path) -> None:
    labels, path = labels_of(teacher), tmp_path / "views.safetensors"
    labels.save(path)
    found = load_labels(path)
    assert isinstance(found, ViewLabels)
    assert torch.equal(found.top, labels.top)
    assert torch.equal(found.shares, labels.shares)
    assert replace(found, name="", top=None, shares=None) == replace(labels, name="", top=None, shares=None)  # type: ignore[arg-type]
    assert not isinstance(load_labels(teacher), ViewLabels)


def of_tensors(name: str, change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    return {"tensors": (name, change)}


def first(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor[0, 0, 0] = value
        return tensor

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (of_tensors("top", lambda one: one.long()), r"top must be uint8 \[epochs, images, 1 to 2\], got int64"),
        (of_tensors("top", lambda one: one[0]), r"top must be uint8 .*, got uint8 \[9, 2\]"),
        (of_tensors("top", lambda one: one[:, :0]), r"got uint8 \[3, 0, 2\]"),
        (of_tensors("top", lambda one: one.repeat(1, 1, 2)), r"1 to 2\], got uint8 \[3, 9, 4\]"),
        (of_tensors("top", first(3)), "names a class that is not among the 3"),
        (of_tensors("top", lambda one: one[:, :, :1].repeat(1, 1, 2)), "names a class of a view twice"),
        (of_tensors("shares", lambda one: one[:2]), r"shares must be float16 \[3, 9, 3\], got float16 \[2, 9, 3\]"),
        (of_tensors("shares", lambda one: one.float()), "shares must be float16"),
        (of_tensors("shares", first(float("nan"))), "below 0 or do not sum to 1"),
        (of_tensors("shares", first(-1)), "below 0 or do not sum to 1"),
        (of_tensors("shares", lambda one: 2 * one), "below 0 or do not sum to 1"),
        ({"classes": 10**9}, "classes must be 2 to 1000000"),
        ({"classes": True}, "classes must be 2 to 1000000"),
        ({"classes": 4}, "3 class names for 4 classes"),
        ({"class_names": ["a", "a", "b"]}, "class"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"teacher": 3}, "teacher must be a text"),
        ({"made_by": {}}, "made_by must be a recipe"),
        ({"made_by": "rded"}, "made_by must be a recipe"),
        ({"recipe change": {"batch_size": 0}}, "made_by: batch_size must be a whole number"),
        ({"recipe change": {"batch_size": 1.5}}, "made_by has batch_size 1.5"),
        ({"recipe change": {"temperature": "20"}}, "made_by has temperature '20'"),
        ({"recipe change": {"augment": [1]}}, r"made_by has augment \[1\]"),
        ({"recipe change": {"augment": "blur"}}, "made_by: "),
        ({"more": torch.zeros(1)}, "must hold the tensors top and shares alone"),
        ({"less": "shares"}, "must hold the tensors top and shares alone"),
    ],
)  # fmt: skip
def test_a_file_of_anything_else_is_refused(damage: dict[str, Any], words: str, teacher: Path, tmp_path: Path) -> None:
    made, path = labels_of(teacher), tmp_path / "views.safetensors"
    made.save(path)
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    facts = json.loads(header["__metadata__"][KIND.key])
    tensors = {"top": made.top.clone(), "shares": made.shares.clone()}
    for what, value in damage.items():
        if what == "tensors":
            tensors[value[0]] = value[1](tensors[value[0]])
        elif what == "more":
            tensors["more"] = value
        elif what == "less":
            del tensors[value]
        elif what == "recipe change":
            facts["made_by"].update(value)
        else:
            facts[what] = value
    write_container(path, KIND, facts, tensors)
    with pytest.raises(InputError, match=words) as caught:
        load_view_labels(path)
    assert str(path) in str(caught.value)


def test_the_commands_label_train_and_test(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, model = (tmp_path / f"{name}.safetensors" for name in ("set", "views", "model"))
    SET.save(source)
    line = f"relabel {source} --teacher {teacher} --views 3 --recipe rded --top 1 --seed 7 --device cpu --out {out}"
    assert run([*line.split(), "--batch-size", "4"]) == 0
    assert f"{out}: 3 epochs of 9 images by rded, 1 class of 3 told apart" in capsys.readouterr().out
    expected = labels_of(teacher, top=1, batch_size=4)
    found = load_view_labels(out)
    assert torch.equal(found.shares, expected.shares)
    assert torch.equal(found.top, expected.top)
    assert run(f"train {source} --network {NETWORK} --teacher {out} --device cpu --out {model}".split()) == 0
    trained = train(DistilledSet.load(source), network=NETWORK, teacher=expected, device="cpu")
    assert torch.equal(load_model(model).network.classifier.weight, trained.classifier.weight)
    training = load_model(model).training
    assert (training["recipe"], training["epochs"], training["batch_size"]) == ("rded", 3, 4)
    again = ["train", str(source), "--network", NETWORK, "--teacher", str(out), "--device", "cpu", "--out", str(model)]
    assert run([*again, "--overwrite", "--batch-size", "5"]) == 2
    capsys.readouterr()
    dataset = folder_of(easy_data(class_names=("a", "b", "c")), tmp_path / "images")
    SET.changed(class_names=None).save(source)
    nameless = ["relabel", str(source), "--teacher", str(teacher), "--views", "1", "--out", str(out), "--overwrite"]
    assert run(nameless) == 0
    assert load_view_labels(out).recipe == "sre2l"
    assert load_view_labels(out).made_by == replace(RECIPES["sre2l"], epochs=1)
    assert run(["eval", str(source), "--dataset", dataset, "--teacher", str(out)]) == 2
    assert "class 0 is 'a' in the set and 'top' for the teacher" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--top 2", "--top is of --views"),
        ("--recipe rded", "--recipe is of --views"),
        ("--batch-size 4", "--batch-size is of --views: give that too, or leave --batch-size out"),
        ("--seed 2", "--seed is of --views"),
        ("--views 2 --temperature 4", "--temperature: views are labelled at the temperature of their recipe"),
        ("--temperature 0", "temperature must be above 0"),
    ],
)
def test_options_of_the_other_kind_of_labels_are_refused(
    options: str, words: str, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SET.save(tmp_path / "set.safetensors")
    line = f"relabel {tmp_path}/set.safetensors --teacher {teacher} --out {tmp_path}/out.safetensors {options}"
    assert run(line.split()) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
