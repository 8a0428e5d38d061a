"""Engines at work: needs a CUDA device, TensorRT or TensorRT-RTX, and the built plugin library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tensorrt_models import distilled, skip_without_engines

import gsdd_runtime as gsdd
from gsdd_runtime.decoders.tensorrt import TensorRTDecoder
from gsdd_runtime.errors import InputError
from gsdd_runtime.export.tensorrt import export_tensorrt

pytestmark = [pytest.mark.cuda, pytest.mark.tensorrt]

# Beside the kernel's own 1e-3, half a last place of images of about one.
TOLERANCES = {torch.float32: 1e-3, torch.float16: 2e-3, torch.bfloat16: 6e-3}


@pytest.fixture(autouse=True)
def _can_run() -> None:
    skip_without_engines()


def decoder(folder: Path, source: gsdd.DistilledSet, **options: object) -> TensorRTDecoder:
    return TensorRTDecoder(export_tensorrt(source, folder / "decoder.engine", **options))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_images_of_the_engine_are_those_of_the_reference(dtype: torch.dtype, normalize: bool, tmp_path: Path) -> None:
    source = distilled()
    engine = decoder(tmp_path, source, dtype=dtype, normalize=normalize, size=(30, 50))
    images, labels = engine.decode([3, 0, 11])
    assert source.gaussians is not None
    expected = gsdd.reference.splat(source.gaussians[[3, 0, 11]].double(), 30, 50, native_size=(24, 32))
    if normalize:
        mean, std = (torch.tensor(values).double().view(1, 3, 1, 1) for values in (source.mean, source.std))
        expected = (expected - mean) / std
    assert images.dtype == engine.dtype == dtype
    scale = 5 if normalize else 1  # the smallest std is 0.2
    assert (images.cpu().double() - expected).abs().max() <= TOLERANCES[dtype] * scale
    assert labels.tolist() == [3, 0, 3]


def test_batches_beyond_the_profile(tmp_path: Path) -> None:
    source = distilled()
    engine = decoder(tmp_path, source, min_batch=3, max_batch=5)
    whole, labels = engine.decode(None)
    assert whole.shape == (12, 3, 24, 32)
    assert labels.tolist() == source.labels.tolist()
    for index in range(12):
        one, _ = engine.decode([index])
        assert torch.equal(one[0], whole[index])
    assert engine.decode([])[0].shape == (0, 3, 24, 32)
    with pytest.raises(InputError, match="index 12 is out of range"):
        engine.decode([12])


def test_in_a_cuda_graph(tmp_path: Path) -> None:
    engine = decoder(tmp_path, distilled(), max_batch=8)
    indices = torch.arange(8, device="cuda")
    expected, _ = engine._decode(indices)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        images, labels = engine._decode(indices)
    indices.copy_(torch.arange(8).flip(0))
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(images, expected.flip(0))
    assert labels.tolist() == [3, 2, 1, 0, 3, 2, 1, 0]


def test_another_stream(tmp_path: Path) -> None:
    engine = decoder(tmp_path, distilled())
    expected, _ = engine.decode(None)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        images, _ = engine.decode(None)
    stream.synchronize()
    assert torch.equal(images, expected)
