"""DistilledLoader over exported decoders: the images are those that the same arguments give of the set, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from awkward import ordinary
from set_files import some_zca

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError
from gsdd_runtime.loading import opening

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

FIELDS: dict[str, dict[str, Any]] = {
    "mean": {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.25, 0.3]},
    "zca": {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.25, 0.3], "zca": some_zca(3, 12, 14)},
    "nothing": {},
}


def make_set(kind: str) -> gsdd.DistilledSet:
    return gsdd.DistilledSet(ordinary(7, 9, 3, 14, 5).bfloat16(), torch.arange(7) % 3, 12, 14, **FIELDS[kind])


def exported(folder: Path, kind: str, *options: str) -> Path:
    path = folder / "set.safetensors"
    make_set(kind).save(path)
    assert run(["export", str(path), "--onnx", str(folder / "decoder.onnx"), *options]) == 0
    return folder / "decoder.onnx"


def batch(source: Path | gsdd.DistilledSet, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    ((images, labels),) = gsdd.DistilledLoader(source, 7, shuffle=False, device="cpu", **options)
    return images, labels


# (kind of set, options of the export, arguments of the loader)
GIVEN: list[tuple[str, list[str], dict[str, Any]]] = [
    ("mean", [], {}),
    ("mean", [], {"normalize": False}),
    ("mean", ["--normalize"], {}),
    ("mean", ["--normalize", "--size", "20x24"], {"size": (20, 24)}),
    ("mean", ["--size", "20x24"], {"size": (20, 24), "dtype": torch.bfloat16, "channels_last": True}),
    ("mean", ["--dtype", "float16"], {}),
    ("mean", ["--dtype", "bfloat16", "--normalize"], {"dtype": torch.bfloat16, "decoder": "onnxruntime"}),
    ("zca", ["--normalize"], {}),
    ("zca", ["--normalize"], {"size": (12, 14), "dtype": torch.float16}),
    ("zca", [], {"normalize": False}),
    ("nothing", [], {"normalize": False}),
]


@pytest.mark.parametrize(("kind", "options", "arguments"), GIVEN, ids=str)
def test_a_file_gives_what_the_set_gives(
    kind: str, options: list[str], arguments: dict[str, Any], tmp_path: Path
) -> None:
    path = exported(tmp_path, kind, *options)
    images, labels = batch(path, **arguments)
    expected, expected_labels = batch(make_set(kind), **{**arguments, "decoder": "torch"})
    assert images.dtype == expected.dtype
    assert images.stride() == expected.stride()
    # The kernel's 1e-3 over a deviation of 0.2, and a step of the narrower type on the way.
    atol = 5e-3 if images.dtype == torch.float32 and "--dtype" not in options else 5e-2
    torch.testing.assert_close(images.float(), expected.float(), atol=atol, rtol=0)
    assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize(
    ("kind", "options", "arguments", "words"),
    [
        ("mean", ["--normalize"], {"normalize": False}, "was exported with --normalize and holds no plain images"),
        ("zca", ["--normalize"], {"normalize": False}, "was exported with --normalize and holds no plain images"),
        ("zca", [], {}, r"was exported without --normalize and lacks the whitening \(zca\)"),
        ("nothing", [], {}, "has no mean and std to normalise with"),
        ("mean", ["--size", "20x24"], {"size": (12, 14)}, "was exported for images of 20x24, not of 12x14"),
        ("mean", [], {"size": (20, 24)}, "export it again with --size 20x24"),
        ("mean", [], {"dtype": torch.float64}, "not float64"),
        ("mean", [], {"decoder": "torch"}, "is decoded by onnxruntime, not by torch"),
        ("mean", [], {"decoder": "tensorrt"}, "is decoded by onnxruntime, not by tensorrt"),
    ],
)
def test_what_a_file_cannot_give_is_refused_with_what_it_was_exported_with(
    kind: str, options: list[str], arguments: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = exported(tmp_path, kind, *options)
    with pytest.raises(InputError, match=words) as caught:
        gsdd.DistilledLoader(path, 4, device="cpu", **arguments)
    assert "\n" not in str(caught.value)


def test_an_engine_is_asked_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        channels, height, width, classes, dtype = 3, 2, 2, 3, torch.float16
        device = torch.device("cpu")

        def __init__(self) -> None:
            own = {"channels": 3, "height": 2, "width": 2}
            self.description = {**own, "normalized": False, "zca": False, "mean": [0.5] * 3, "std": [2.0] * 3}

        def __len__(self) -> int:
            return 4

        def decode(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.ones(len(indices), 3, 2, 2, dtype=self.dtype), indices % 3

    monkeypatch.setattr(opening, "_open_exported", lambda path, device: Engine())
    path = tmp_path / "decoder.engine"
    path.write_bytes(b"engine")
    for images, _ in gsdd.DistilledLoader(path, 4, device="cpu", decoder="tensorrt"):
        assert torch.equal(images, torch.full((4, 3, 2, 2), 0.25))
    with pytest.raises(InputError, match="not of 4x4"):
        gsdd.DistilledLoader(path, 4, device="cpu", size=(4, 4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"normalized": None}, "does not say whether"),
        ({"zca": "no"}, "does not say whether"),
        ({"std": [0.0] * 3}, "std"),
        ({"std": [0.5]}, "std"),
        ({"mean": None}, "mean and std"),
    ],
    ids=str,
)
def test_a_damaged_description_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = exported(tmp_path, "mean")
    model = onnx.load(path)
    (entry,) = [prop for prop in model.metadata_props if prop.key == "gsdd"]
    entry.value = json.dumps({**json.loads(entry.value), **change})
    onnx.save_model(model, path)
    with pytest.raises(InputError, match=words):
        gsdd.DistilledLoader(path, 4, device="cpu")


def test_a_decoder_of_ones_own_is_not_overruled_in_silence(tmp_path: Path) -> None:
    class Own:
        height, width = 12, 14

        def __len__(self) -> int:
            return 7

        def decode(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(len(indices), 3, 12, 14), indices

    assert batch(make_set("mean"), decoder=Own(), size=(12, 14))[0].shape == (7, 3, 12, 14)
    with pytest.raises(InputError, match="Own gives images of 12x14, not of 20x24"):
        gsdd.DistilledLoader(make_set("mean"), 4, decoder=Own(), size=(20, 24))
    with pytest.raises(InputError, match="give one of them"):
        gsdd.DistilledLoader(exported(tmp_path, "mean"), 4, decoder=Own())
