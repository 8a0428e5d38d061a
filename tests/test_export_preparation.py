"""What exported decoders give with ``--normalize``: the batch of ``decode(normalize=True)``, whitened or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from awkward import ordinary
from set_files import some_zca, whitened_by_hand
from torch import Tensor

from gsdd_runtime import DistilledSet, plugin_library, reference
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError, LibraryNotBuiltError

Decode = Callable[[Tensor], tuple[Tensor, Tensor]]
FIELDS = {
    "mean and std": {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.25, 0.3]},
    "zca": {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.25, 0.3], "zca": some_zca(3, 12, 14)},
}


def make_set(kind: str) -> DistilledSet:
    return DistilledSet(ordinary(7, 9, 3, 14, 5).bfloat16(), torch.arange(7) % 3, 12, 14, **FIELDS[kind])


def expected(distilled: DistilledSet, indices: Tensor) -> Tensor:
    """By the reference and the rule, in float64."""
    assert distilled.gaussians is not None
    images = reference.splat(distilled.gaussians[indices].double(), 12, 14)
    if distilled.zca is not None:
        return whitened_by_hand(images, distilled.zca)
    mean, std = (torch.tensor(values).double().view(1, -1, 1, 1) for values in (distilled.mean, distilled.std))
    return (images - mean) / std


def _torchscript(path: Path) -> Decode:
    plugin_library("torch")
    import gsdd_runtime.splatting.op  # noqa: F401

    return torch.jit.load(path)


def _program(path: Path) -> Decode:
    plugin_library("torch")
    import gsdd_runtime.splatting.op  # noqa: F401

    return torch.export.load(path).module()


def _onnx(library: bool) -> Callable[[Path], Decode]:
    def load(path: Path) -> Decode:
        pytest.importorskip("onnxruntime")
        from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder

        return OnnxRuntimeDecoder(path, library=library, threads=1).decode

    return load


TARGETS = [
    pytest.param("--torchscript", _torchscript, id="torchscript"),
    pytest.param("--pt2", _program, id="program"),
    pytest.param("--onnx", _onnx(False), id="onnx function"),
    pytest.param("--onnx", _onnx(True), id="onnx library"),
]


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize(("target", "load"), TARGETS)
def test_an_exported_batch_is_that_of_the_set(
    target: str, load: Callable[[Path], Decode], kind: str, tmp_path: Path
) -> None:
    if target == "--onnx":
        pytest.importorskip("onnxscript")
    distilled, path, out = make_set(kind), tmp_path / "set.safetensors", tmp_path / "decoder"
    distilled.save(path)
    assert run(["export", str(path), target, str(out), "--normalize"]) == 0
    try:
        decode = load(out)
    except LibraryNotBuiltError as error:
        pytest.skip(str(error))
    for indices in ([6, 0, 6], [2], []):
        chosen = torch.tensor(indices, dtype=torch.int64)
        images, labels = decode(chosen)
        assert images.dtype == torch.float32
        # The kernel may differ by 1e-3, divided by a deviation of 0.2; measured 9e-5.
        torch.testing.assert_close(images.double(), expected(distilled, chosen), atol=5e-3, rtol=0)
        of_set = DistilledSet.load(path).decode(chosen, normalize=True)
        torch.testing.assert_close(images, of_set, atol=5e-3, rtol=0)
        assert torch.equal(labels, distilled.labels[chosen])


@pytest.mark.parametrize(("target", "load"), TARGETS)
def test_whitened_images_are_rounded_once(target: str, load: Callable[[Path], Decode], tmp_path: Path) -> None:
    if target == "--onnx":
        pytest.importorskip("onnxscript")
    path = tmp_path / "set.safetensors"
    make_set("zca").save(path)
    batches = []
    for name in ("float32", "float16"):
        assert run(["export", str(path), target, str(tmp_path / name), "--normalize", "--dtype", name]) == 0
        try:
            batches.append(load(tmp_path / name)(torch.arange(7))[0])
        except LibraryNotBuiltError as error:
            pytest.skip(str(error))
    assert batches[1].dtype == torch.float16
    assert torch.equal(batches[0].half(), batches[1])


@pytest.mark.parametrize("normalize", [False, True])
def test_the_matrix_is_in_a_file_that_whitens_alone(normalize: bool, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from gsdd_runtime.export.onnx import export_onnx

    distilled = make_set("zca")
    out = export_onnx(distilled, tmp_path / "decoder.onnx", normalize=normalize)
    assert (out.stat().st_size > distilled.zca.nbytes) is normalize
    description = json.loads({prop.key: prop.value for prop in onnx.load(out).metadata_props}["gsdd"])
    assert (description["normalized"], description["zca"]) == (normalize, True)


def test_a_matrix_too_large_for_a_file_is_no_matter_where_it_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    from gsdd_runtime.export import onnx as module

    distilled = make_set("zca")
    monkeypatch.setattr(module, "_MAX_PAYLOAD", distilled.zca.nbytes)
    with pytest.raises(InputError, match="holds at most 2"):
        module.export_onnx(distilled, tmp_path / "decoder.onnx", normalize=True)
    assert module.export_onnx(distilled, tmp_path / "decoder.onnx").is_file()
