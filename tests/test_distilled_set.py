"""DistilledSet in memory and from its file: what comes back, what is refused, what it says of itself."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from set_files import pixel_set, saved, some_gaussians, some_set

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.description import description
from gsdd_runtime.sets.distilled_set import DistilledSet

# Saving and loading


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_set_comes_back_from_its_file(tmp_path: Path, channels: int) -> None:
    original = some_set(channels=channels)
    loaded = DistilledSet.load(saved(tmp_path, original))
    assert original.gaussians is not None
    assert loaded.gaussians is not None
    assert torch.equal(loaded.gaussians, original.gaussians)
    assert torch.equal(loaded.labels, original.labels)
    for name in (
        "height", "width", "channels", "classes", "class_names", "mean", "std", "ipc", "gpc", "method",
        "options", "seed", "fingerprint", "versions", "representation", "nbytes",
    ):  # fmt: skip
        assert getattr(loaded, name) == getattr(original, name), name
    assert loaded.path == tmp_path / "set.safetensors"


def test_a_bare_set_comes_back(tmp_path: Path) -> None:
    loaded = DistilledSet.load(saved(tmp_path, DistilledSet(some_gaussians(), torch.tensor([0, 1, 0, 1, 4, 0]), 5, 7)))
    assert (loaded.classes, loaded.class_names, loaded.mean, loaded.std, loaded.zca) == (5, None, None, None, None)
    assert (loaded.ipc, loaded.gpc, loaded.method, loaded.options, loaded.seed) == (None, None, None, {}, None)


def test_a_pixel_set_comes_back(tmp_path: Path) -> None:
    original = pixel_set()
    loaded = DistilledSet.load(saved(tmp_path, original))
    assert loaded.representation == "pixels"
    assert loaded.gaussians is None
    assert loaded.pixels is not None
    assert original.pixels is not None
    assert torch.equal(loaded.pixels, original.pixels)


def test_soft_labels_and_whitening_come_back(tmp_path: Path) -> None:
    labels = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.25, 0.75]], dtype=torch.float16)
    zca = torch.rand(121, 120)
    original = DistilledSet(some_gaussians(2), labels, 12, 10, mean=[0.5], std=[0.1], zca=zca)
    loaded = DistilledSet.load(saved(tmp_path, original))
    assert torch.equal(loaded.labels, labels)
    assert loaded.hard_labels.tolist() == [0, 2]
    assert loaded.classes == 3
    assert loaded.zca is not None
    assert torch.equal(loaded.zca, zca)
    assert loaded.nbytes == 2 * 4 * 7 * 2 + 2 * 3 * 2 + 121 * 120 * 4


def test_a_set_can_be_saved_over_the_file_it_is_mapped_from(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    loaded = DistilledSet.load(path)
    loaded.save(path)
    assert path.read_bytes() == before
    assert torch.equal(loaded.decode(), some_set().decode())


def test_writing_into_a_loaded_set_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    loaded = DistilledSet.load(path)
    assert loaded.gaussians is not None
    loaded.gaussians.zero_()
    assert path.read_bytes() == before


def test_a_number_spoilt_after_the_check_does_not_reach_a_file(tmp_path: Path) -> None:
    distilled_set = some_set()
    assert distilled_set.gaussians is not None
    distilled_set.gaussians[0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        distilled_set.save(tmp_path / "set.safetensors")
    assert list(tmp_path.iterdir()) == []


# What is made in memory is held to the same rules


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gaussians": None}, "either gaussians or pixels"),
        ({"pixels": torch.zeros(6, 1, 12, 10)}, "either gaussians or pixels"),
        (
            {"gaussians": None, "pixels": torch.zeros(6, 5, 12, 10).bfloat16()},
            "pixels must have 1 to 4 channels, got 5",
        ),
        ({"gaussians": some_gaussians().float()}, "must be bfloat16, got float32"),
        ({"labels": torch.zeros(6)}, "must be float16"),
        ({"labels": torch.tensor([0, 1, 2, 3, 0, 0])}, "label 3 is out of range"),
        ({"labels": torch.tensor([0, 1, 2, -1, 0, 0])}, "label -1 is out of range"),
        ({"height": 0}, "height"),
        ({"std": [0.0]}, "std must be above 0"),
        ({"std": None}, "both or neither"),
        ({"mean": [float("nan")]}, "finite"),
        ({"mean": [1e39]}, "mean must be 0 or"),
        ({"std": [1e-40]}, "std must be above 0"),
        ({"method": "\x1b[31m"}, "control character"),
        ({"class_names": ["a", "b", "c\n"]}, "control character"),
        ({"class_names": ["a"]}, "label 2 is out of range"),
        ({"ipc": 0}, "ipc"),
    ],
)
def test_a_set_that_cannot_be_made(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {
        "gaussians": some_gaussians(), "labels": torch.arange(6) % 3, "height": 12, "width": 10,
        "class_names": ["a", "b", "c"], "mean": [0.5], "std": [0.5],
    }  # fmt: skip
    with pytest.raises(InputError, match=words):
        DistilledSet(**{**arguments, **change})


@pytest.mark.parametrize(
    "options", [{"a": {1, 2}}, {"a": float("nan")}, {"a": torch.zeros(2)}, {"a": "\ud800"}, {"a": ["\x1b"]}]
)
def test_options_that_json_cannot_hold(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        some_set(options=options).save(tmp_path / "set.safetensors")
    assert list(tmp_path.iterdir()) == []


# The rest


def test_to_a_device_and_back() -> None:
    distilled_set = some_set()
    assert distilled_set.to("cpu") is distilled_set
    moved = distilled_set.to("meta")
    assert moved.device.type == "meta"
    assert moved.classes == distilled_set.classes


def test_a_set_travels_to_another_process(tmp_path: Path) -> None:
    loaded = DistilledSet.load(saved(tmp_path))
    copy = pickle.loads(pickle.dumps(loaded))
    assert torch.equal(copy.decode(), loaded.decode())


def test_description_is_json_and_counts_the_storage() -> None:
    facts = json.loads(json.dumps(description(some_set())))
    assert facts["images"] == 6
    assert facts["images_per_class"] == 2
    assert facts["gaussians_per_image"] == 4
    assert facts["image_bytes"] == 6 * 4 * 7 * 2
    assert facts["payload_bytes"] == 6 * 4 * 7 * 2 + 6 * 8
    assert facts["storage_in_images_per_class"] == pytest.approx(6 * 4 * 7 * 2 / (3 * 12 * 10 * 4))
    uneven = DistilledSet(some_gaussians(3), torch.tensor([0, 0, 2]), 12, 10, class_names=["a", "b", "c"])
    assert description(uneven)["images_per_class"] == {"least": 0, "most": 2}
    assert description(pixel_set())["gaussians_per_image"] is None


def test_repr_says_what_it_is() -> None:
    assert repr(some_set()).startswith("DistilledSet(6 images of 1x12x10, 4 Gaussians an image, 3 classes")


def test_loading_needs_no_distilling_code(tmp_path: Path) -> None:
    path = saved(tmp_path)
    script = (
        f"import sys, gsdd_runtime; gsdd_runtime.DistilledSet.load({str(path)!r}).decode();"
        "assert not [name for name in sys.modules if name.startswith('gsdd_runtime.distillation.')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
