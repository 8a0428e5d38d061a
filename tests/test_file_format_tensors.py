"""One test a rule of docs/file-format.md on tensors and their values; and the exact content of a written file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from set_files import refused, saved, some_gaussians, some_set, split_file, with_tensor

from gsdd_runtime.sets.distilled_set import DistilledSet


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return saved(tmp_path)


def change_to(name: str, tensor: Callable[[], torch.Tensor]) -> Callable[[Path], Path]:
    return lambda path: with_tensor(path, **{name: tensor()})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: with_tensor(path, gaussians=None), "holds none"),
        (lambda path: with_tensor(path, labels=None), "holds none"),
        (change_to("pixels", lambda: torch.zeros(6, 1, 12, 10, dtype=torch.bfloat16)), "holds gaussians and pixels"),
        (change_to("soft_labels", lambda: torch.ones(6, 3, dtype=torch.float16)), "holds labels and soft_labels"),
        (change_to("weights", lambda: torch.zeros(1)), "unexpected tensor"),
        (change_to("gaussians", lambda: some_gaussians().float()), "must be BF16"),
        (change_to("labels", lambda: torch.zeros(6, dtype=torch.int32)), "must be I64"),
        (change_to("zca", lambda: torch.zeros(121, 120).half()), "must be F32"),
        (change_to("gaussians", lambda: some_gaussians()[0]), "[images, Gaussians, 6 + channels]"),
        (change_to("gaussians", lambda: some_gaussians()[..., :6].contiguous()), "6 + channels"),
        (change_to("gaussians", lambda: some_gaussians(channels=5)), "6 + channels"),
        (
            change_to("gaussians", lambda: some_gaussians(channels=3)),
            "channels: the description says 1, the tensor has 3",
        ),
        (change_to("gaussians", lambda: some_gaussians(images=0)), "empty"),
        (change_to("gaussians", lambda: some_gaussians(count=0)), "empty"),
        (change_to("labels", lambda: torch.zeros(5, dtype=torch.int64)), "5 labels for 6 images"),
        (change_to("labels", lambda: torch.zeros(6, 1, dtype=torch.int64)), "[images]"),
        (change_to("labels", lambda: torch.tensor([0, 1, 2, 0, 1, 3])), "label 3 is out of range"),
        (change_to("labels", lambda: torch.tensor([0, 1, 2, 0, 1, -1])), "label -1 is out of range"),
        (change_to("labels", lambda: torch.tensor([0, 1, 2, 0, 1, 2**62])), "out of range"),
        (change_to("zca", lambda: torch.zeros(120, 120)), "zca must be [121, 120]"),
        (change_to("zca", lambda: torch.full((121, 120), float("nan"))), "zca[0] holds a NaN"),
    ],
)
def test_a_tensor_that_does_not_fit(path: Path, change: Callable[[Path], Path], words: str) -> None:
    refused(change(path), words)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite(path: Path, value: float) -> None:
    gaussians = some_gaussians()
    gaussians[4, 2, 3] = value
    refused(with_tensor(path, gaussians=gaussians), "gaussians[4] holds a NaN or an infinity")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5])
def test_a_soft_label_that_is_no_weight(tmp_path: Path, value: float) -> None:
    labels = torch.full((6, 3), 0.25, dtype=torch.float16)
    path = saved(tmp_path, DistilledSet(some_gaussians(), labels, 12, 10))
    labels[3, 1] = value
    refused(with_tensor(path, soft_labels=labels), "finite and not negative")


def test_a_soft_label_without_weight(tmp_path: Path) -> None:
    labels = torch.full((6, 3), 0.25, dtype=torch.float16)
    path = saved(tmp_path, DistilledSet(some_gaussians(), labels, 12, 10))
    labels[3] = 0
    refused(with_tensor(path, soft_labels=labels), "all zero")


def test_soft_labels_of_another_number_of_classes(tmp_path: Path) -> None:
    labels = torch.full((6, 3), 0.25, dtype=torch.float16)
    path = saved(tmp_path, DistilledSet(some_gaussians(), labels, 12, 10))
    refused(with_tensor(path, soft_labels=torch.ones(6, 4, dtype=torch.float16)), "4 classes")


def test_pixels_of_another_size_than_stated(tmp_path: Path) -> None:
    pixels = torch.zeros(6, 1, 12, 10, dtype=torch.bfloat16)
    path = saved(tmp_path, DistilledSet(None, torch.arange(6) % 3, 12, 10, pixels=pixels))
    for shape in ((10, 12), (6, 10), (12, 5), (24, 20), (5, 5)):
        other = torch.zeros(6, 1, *shape, dtype=torch.bfloat16)
        refused(with_tensor(path, pixels=other), f"{shape[0]}x{shape[1]}", "12x10")


# What is written


def test_the_file_is_the_tensors_and_a_short_header(tmp_path: Path) -> None:
    distilled_set = some_set()
    path = saved(tmp_path, distilled_set)
    header, payload = split_file(path)
    assert len(payload) == distilled_set.nbytes == 6 * 4 * 7 * 2 + 6 * 8
    assert set(header) == {"__metadata__", "gaussians", "labels"}
    assert set(header["__metadata__"]) == {"gsdd"}
    assert (header["gaussians"]["dtype"], header["gaussians"]["shape"]) == ("BF16", [6, 4, 7])
    assert (header["labels"]["dtype"], header["labels"]["shape"]) == ("I64", [6])
    assert json.loads(header["__metadata__"]["gsdd"]) == {
        "format_version": 1, "representation": "gaussians", "height": 12, "width": 10, "channels": 1,
        "classes": 3, "class_names": ["class 0", "class 1", "class 2"], "normalization": {"mean": [0.25], "std": [0.5]},
        "ipc": 1, "gpc": 2, "method": "dm", "options": {"iterations": 10, "augmentation": ["crop", "flip"]},
        "seed": 7, "fingerprint": "sha256:00", "versions": {"gsdd-rt": "0.1.0"},
    }  # fmt: skip


def test_the_example_in_the_documentation_reads_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "file-format.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    saved(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["description"]["classes"] == 3
    assert torch.equal(names["gaussians"], some_gaussians())


def test_equal_sets_give_equal_bytes(tmp_path: Path) -> None:
    first = saved(tmp_path, some_set()).read_bytes()
    loaded = DistilledSet.load(saved(tmp_path, some_set(options={"augmentation": ["crop", "flip"], "iterations": 10})))
    second = saved(tmp_path, loaded).read_bytes()
    assert first == second
