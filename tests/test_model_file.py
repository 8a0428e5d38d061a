"""A trained network's file: what comes back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from easy_data import easy_data, easy_set
from set_files import some_zca, whitened_by_hand
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import build
from gsdd_runtime.networks.model_file import load_model, save_model

DATA = easy_data()


def saved(folder: Path, **options: Any) -> Path:
    path = folder / "model.safetensors"
    network = build("convnet1-w4", 1, 3, (8, 8), seed=1)
    save_model(network, path, network="convnet1-w4", distilled_set=easy_set(DATA), **options)
    return path


def rewritten(path: Path, tensors: dict[str, Tensor] | None = None, **changes: Any) -> Path:
    with safetensors.safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["gsdd_model"])
    weights = safetensors.torch.load_file(path)
    weights.update(tensors or {})
    weights = {name: value for name, value in weights.items() if value.numel()}
    safetensors.torch.save_file(weights, path, metadata={"gsdd_model": json.dumps({**facts, **changes})})
    return path


@pytest.mark.parametrize(
    "name",
    ["convnet1-w4", "convnet1-w4-batch", "convnet1-w4-layer-swish", "mlp", "resnet18-batch"],
)
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    data = easy_data(channels=3)
    distilled = easy_set(data)
    network = build(name, 3, 3, (20, 16), seed=1).eval()
    path = tmp_path / "model.safetensors"
    facts = {"epochs": 3}
    save_model(network, path, network=name, distilled_set=distilled, size=(20, 16), training=facts)
    before = torch.get_rng_state()
    model = load_model(path)
    assert torch.equal(torch.get_rng_state(), before)
    images = torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.network(images), network(images))
    assert not model.network.training
    assert all(parameter.requires_grad for parameter in model.network.parameters())
    assert (model.name, model.channels, model.classes, model.size) == (name, 3, 3, (20, 16))
    assert (model.class_names, model.mean, model.std) == (data.class_names, data.mean, data.std)
    assert model.training["epochs"] == 3
    assert model.zca is None
    plain = torch.rand(2, 3, 20, 16)
    assert torch.equal(model.preparation.apply(plain), distilled.prepare(plain))


def test_the_network_of_a_set_that_whitens_brings_its_matrix(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    distilled = easy_set(DATA, zca=some_zca(1, 8, 8))
    network = build("convnet1-w4", 1, 3, (8, 8), seed=1).eval()
    save_model(network, path, network="convnet1-w4", distilled_set=distilled)
    model = load_model(path)
    assert model.zca is not None
    assert torch.equal(model.zca, distilled.zca)
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    prepared = model.preparation.apply(images)
    torch.testing.assert_close(prepared.double(), whitened_by_hand(images, model.zca), atol=1e-5, rtol=0)
    assert torch.equal(model.network(prepared), network(distilled.prepare(images)))
    for damaged, message in ((torch.zeros(3, 2), r"zca must be F32 \[65, 64\]"), (model.zca / 0, "zca holds a NaN")):
        with pytest.raises(InputError, match=message):
            load_model(rewritten(path, {"zca": damaged}))
    with pytest.raises(InputError, match="whitens images of 8x8 alone"):
        save_model(network, path, network="convnet1-w4", distilled_set=distilled, size=(16, 16))


def test_a_set_without_description(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    distilled = easy_set(DATA, mean=None, std=None, class_names=None)
    save_model(build("mlp", 1, 3, (8, 8), seed=0), path, network="mlp", distilled_set=distilled)
    model = load_model(path)
    assert (model.class_names, model.mean, model.std) == (None, None, None)


NOT_FINITE = torch.full((3,), float("nan"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "upgrade gsdd-rt"),
        ({"format_version": 0}, "format version"),
        ({"format_version": "1"}, "format version"),
        ({"network": "convnet1-w8"}, "damaged"),
        ({"network": "convnet2-w4"}, "missing"),
        ({"network": "lstm"}, "unknown network"),
        ({"network": None}, "network must be a name"),
        ({"channels": 9}, "channels"),
        ({"classes": 10**9}, "classes"),
        ({"classes": 2.0}, "classes"),
        ({"height": -8}, "sides"),
        ({"height": 10**9}, "sides"),
        ({"class_names": ["a", "b"]}, "class names"),
        ({"std": [0.0]}, "std"),
        ({"mean": None}, "mean and std"),
        ({"training": []}, "training"),
        ({"tensors": {"classifier.bias": NOT_FINITE}}, "NaN"),
        ({"tensors": {"classifier.bias": torch.zeros(4)}}, r"F32 \[3\]"),
        ({"tensors": {"classifier.bias": torch.zeros(3).half()}}, "must be F32"),
        ({"tensors": {"classifier.bias": torch.zeros(0)}}, "missing"),
        ({"tensors": {"surplus": torch.zeros(3)}}, "unexpected"),
    ],
    ids=str,
)
def test_damaged_files_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = rewritten(saved(tmp_path), **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no tensors here", b"\xff" * 64])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a \.safetensors file: make one with `gsdd-rt train`"):
        load_model(path)


def test_a_distilled_set_is_no_network(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    easy_set(DATA).save(path)
    with pytest.raises(InputError, match="not a trained network"):
        load_model(path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"is damaged .*: copy it again, or train again"):
        load_model(path)


def test_missing_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_model(tmp_path / "nothing")
    with pytest.raises(InputError, match="does not exist"):
        saved(tmp_path / "nowhere")


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="JSON"):
        saved(tmp_path, training={"loss": float("nan")})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
