"""Sets of chosen classes and merged sets: whose images, which labels, what is kept, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from set_files import pixel_set, saved, some_gaussians, some_set, some_zca

from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.compression import compress
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.selection import merge_sets, select_classes


def test_chosen_classes_are_numbered_in_their_order() -> None:
    distilled = some_set()
    chosen = select_classes(distilled, ["class 2", "class 0"])
    assert chosen.class_names == ("class 2", "class 0")
    assert chosen.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(chosen.rows(), distilled.rows([2, 5, 0, 3]))
    assert (chosen.mean, chosen.std, chosen.seed, chosen.gpc) == (distilled.mean, distilled.std, 7, 2)
    assert chosen.options["selected"] == {"classes": [2, 0], "of_classes": 3, "of_data": "sha256:00"}
    assert chosen.fingerprint is None


def test_positions_name_classes_as_well() -> None:
    unnamed = some_set(class_names=None)
    assert select_classes(unnamed, ["1"]).class_names == ("1",)
    assert torch.equal(select_classes(unnamed, [1]).rows(), unnamed.rows([1, 4]))


def test_soft_labels_keep_the_shares_of_the_chosen() -> None:
    soft = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.125, 0.625], [0.25, 0.5, 0.25]]).half()
    distilled = DistilledSet(some_gaussians(3), soft, 12, 10, mean=[0.5], std=[0.5])
    chosen = select_classes(distilled, [2, 0])
    assert torch.equal(chosen.labels, torch.tensor([[0.625, 0.25], [0.25, 0.5]]).half())
    assert torch.equal(chosen.rows(), distilled.rows([1, 0]))


def test_a_coded_set_stays_coded_by_its_steps() -> None:
    coded = compress(some_set()).distilled_set
    chosen = select_classes(coded, ["class 1"])
    assert chosen.coded is not None
    assert coded.coded is not None
    assert chosen.coded.steps == coded.coded.steps
    assert chosen.nbytes < coded.nbytes
    torch.testing.assert_close(chosen.decode(), coded.decode([1, 4]), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([], "at least one class"),
        (["class 1", 1], "none twice"),
        (["class 9"], "no class 'class 9': its classes are class 0, class 1, class 2"),
        ([3], "no class 3"),
    ],
    ids=str,
)
def test_classes_that_are_not_there_are_refused(classes: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        select_classes(some_set(), classes)


def test_a_class_without_images_is_refused() -> None:
    distilled = some_set().changed(labels=torch.tensor([0, 0, 1, 1, 0, 1]))
    with pytest.raises(InputError, match="class class 2 has no image"):
        select_classes(distilled, ["class 0", "class 2"])


def test_sets_of_the_same_classes_give_more_images() -> None:
    one, two = some_set(), some_set(images=3, seed=8).changed(gaussians=some_gaussians(3, 7, seed=4))
    made = merge_sets({"one": one, "two": two})
    assert made.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert made.class_names == one.class_names
    drawn = made.decode()
    for place, (source, row) in enumerate([(one, 0), (one, 3), (two, 0), (one, 1), (one, 4), (two, 1)]):
        # Gaussians that one set has fewer of are all zero, and draw nothing.
        torch.testing.assert_close(drawn[place], source.decode(row)[0], rtol=0, atol=1e-6)
    assert (made.ipc, made.gpc, made.fingerprint, made.method) == (2, 3, "sha256:00", "dm")
    assert [each["seed"] for each in made.options["merged"]] == [7, 8]


def test_sets_of_other_classes_give_more_classes() -> None:
    one = some_set()
    two = some_set(class_names=["class 3", "class 4", "class 1"], fingerprint="sha256:01")
    made = merge_sets({"one": one, "two": two})
    assert made.class_names == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert made.labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4]
    assert torch.equal(made.rows([2, 3, 4, 5]), torch.cat([one.rows([1, 4]), two.rows([2, 5])]))
    assert (made.ipc, made.gpc, made.fingerprint) == (1, 2, None)


def test_soft_labels_of_other_classes_are_zero() -> None:
    soft = torch.tensor([[0.75, 0.25], [0.25, 0.75]]).half()
    sets = {
        name: DistilledSet(some_gaussians(2), soft, 12, 10, class_names=names, mean=[0.5], std=[0.5])
        for name, names in (("one", ["a", "b"]), ("two", ["c", "a"]))
    }
    made = merge_sets(sets)
    assert made.class_names == ("a", "b", "c")
    expected = [[0.75, 0.25, 0], [0.75, 0, 0.25], [0.25, 0.75, 0], [0.25, 0, 0.75]]
    assert torch.equal(made.labels, torch.tensor(expected).half())


def test_a_preparation_for_all_can_be_stated() -> None:
    one, two = some_set(), some_set(mean=[0.5])
    with pytest.raises(InputError, match="another mean and std, or whitening: give --mean and --std"):
        merge_sets({"one": one, "two": two})
    made = merge_sets({"one": one, "two": two}, mean=[0.3], std=[0.2])
    assert (made.mean, made.std) == ((0.3,), (0.2,))
    with pytest.raises(InputError, match="mean and std come together"):
        merge_sets({"one": one, "two": two}, mean=[0.3])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (pixel_set(channels=1), "has gaussians, two has pixels"),
        (some_set(channels=3), "1 channel, two has 3 channels"),
        (some_set().changed(labels=torch.ones(6, 3).half()), "hard labels, two has soft labels"),
        (some_set(class_names=None), "without the names of all classes"),
        (some_set(zca=some_zca()), "another mean and std, or whitening"),
        (
            DistilledSet(some_gaussians(), torch.arange(6) % 3, 10, 10, mean=[0.25], std=[0.5]),
            "12x10, two has images of 10x10",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sets_that_are_not_alike_are_refused(other: DistilledSet, words: str) -> None:
    with pytest.raises(InputError, match=words):
        merge_sets({"one": some_set(), "two": other})
    with pytest.raises(InputError, match="at least two"):
        merge_sets({"one": some_set()})


def test_learned_rates_survive_where_they_agree() -> None:
    one, two = (some_set(training={"learning_rate": rate}) for rate in (0.5, 0.25))
    assert merge_sets({"one": one, "two": one}).training == {"learning_rate": 0.5}
    assert merge_sets({"one": one, "two": two}).training == {}


def test_the_commands_write_what_the_library_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path)
    parts = []
    for classes in ("class 0", "class 1,class 2"):
        parts.append(str(tmp_path / f"part{len(parts)}.safetensors"))
        assert run(["select", str(path), "--classes", classes, "--out", parts[-1]]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{parts[0]}: 2 images of 1 class"
    out = tmp_path / "whole.safetensors"
    assert run(["merge", *parts, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 6 images of 3 classes\n"
    whole = DistilledSet.load(out)
    assert whole.class_names == some_set().class_names
    assert torch.equal(whole.rows(), some_set().rows([0, 3, 1, 4, 2, 5]))
    small = tmp_path / "small.safetensors"
    compress(some_set()).distilled_set.save(small)
    assert run(["merge", str(path), str(small), "--out", str(out), "--overwrite"]) == 0
    assert f"not coded: gsdd-rt compress {out}" in capsys.readouterr().out
