"""The decoders of gsdd_runtime.decoders: one interface, the same images from every runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from awkward import ordinary

from gsdd_runtime import DistilledSet
from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder
from gsdd_runtime.decoders.torch import TorchDecoder
from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
from gsdd_runtime.export.onnx import export_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def make_set() -> DistilledSet:
    return DistilledSet(
        ordinary(9, 20, 3, 16, 3).bfloat16(), torch.arange(9) % 3, 16, 18, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7]
    )


Decoders = list[TorchDecoder | OnnxRuntimeDecoder]


@pytest.fixture
def decoders(tmp_path: Path) -> Decoders:
    distilled = make_set()
    path = export_onnx(distilled, tmp_path / "decoder.onnx", normalize=True, size=(20, 24))
    return [
        TorchDecoder(distilled, normalize=True, size=(20, 24)),
        OnnxRuntimeDecoder(path, library=False, threads=2),
        OnnxRuntimeDecoder(path, threads=2),
    ]


def test_every_runtime_gives_the_same_batch(decoders: Decoders) -> None:
    distilled = make_set()
    for indices in ([4, 4, 0], torch.tensor([8]), slice(2, 5), []):
        wanted = distilled.decode(indices, 20, 24, normalize=True)
        for decoder in decoders:
            assert (len(decoder), decoder.channels, decoder.classes) == (9, 3, 3)
            assert (decoder.height, decoder.width, decoder.dtype) == (20, 24, torch.float32)
            images, labels = decoder.decode(indices)
            # The kernel may differ from the function by 1e-3; measured 6e-6.
            torch.testing.assert_close(images, wanted, atol=1e-3, rtol=0)
            chosen = indices if isinstance(indices, slice) else torch.as_tensor(indices).long()
            assert torch.equal(labels, distilled.labels[chosen])


@pytest.mark.parametrize("indices", [[9], [-1], [0.5], [[1, 2]]])
def test_a_bad_index_is_refused_by_name(decoders: Decoders, indices: list[object]) -> None:
    for decoder in decoders:
        with pytest.raises(InputError, match=r"out of range|whole numbers"):
            decoder.decode(indices)  # type: ignore[arg-type]
        assert decoder.decode([1])[0].shape == (1, 3, 20, 24)


def test_half_precision_comes_through(tmp_path: Path) -> None:
    distilled = make_set()
    for dtype in (torch.float16, torch.bfloat16):
        path = export_onnx(distilled, tmp_path / "decoder.onnx", dtype=dtype)
        for decoder in (TorchDecoder(distilled, dtype=dtype), OnnxRuntimeDecoder(path, library=False)):
            images, _ = decoder.decode([1, 2])
            assert images.dtype == decoder.dtype == dtype
            # One step of the dtype, where the two round the same number differently: at most 2^-7 for bfloat16.
            torch.testing.assert_close(images.float(), distilled.decode([1, 2]), atol=8e-3, rtol=8e-3)
            assert decoder.decode([])[0].shape == (0, 3, 16, 18)


def test_options_are_refused_before_the_first_batch() -> None:
    with pytest.raises(InputError, match="height must be 1 to 16384"):
        TorchDecoder(make_set(), size=(0, 5))
    with pytest.raises(InputError, match="float32, float16 or bfloat16"):
        TorchDecoder(make_set(), dtype=torch.float64)


def test_a_file_that_is_no_decoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file"):
        OnnxRuntimeDecoder(tmp_path / "missing.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"broken\.onnx"):
        OnnxRuntimeDecoder(tmp_path / "broken.onnx")
    value = onnx.helper.make_tensor_value_info("x", 1, ["n"])
    result = onnx.helper.make_tensor_value_info("y", 1, ["n"])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "other", [value], [result])
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save_model(onnx.helper.make_model(graph, ir_version=9, opset_imports=opsets), tmp_path / "other.onnx")
    with pytest.raises(InputError, match="no decoder of gsdd-rt"):
        OnnxRuntimeDecoder(tmp_path / "other.onnx")


def test_a_library_that_is_asked_for_and_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export_onnx(make_set(), tmp_path / "decoder.onnx")
    (tmp_path / "libgsdd_onnxruntime.so").write_bytes(b"no library")
    monkeypatch.setenv("GSDD_PLUGIN_DIR", str(tmp_path))
    with pytest.raises(LibraryNotBuiltError, match=r"onnxruntime .* cannot load .*libgsdd_onnxruntime\.so"):
        OnnxRuntimeDecoder(path, library=True)


def test_without_onnxruntime_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export_onnx(make_set(), tmp_path / "decoder.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(GsddError, match=r"pip install 'gsdd-rt\[onnxruntime\]'"):
        OnnxRuntimeDecoder(path)
