"""Decoders of standard operators alone: in onnxruntime, in OpenVINO, in onnxruntime-web, and through onnx's tools."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from awkward import ordinary
from oracle import oracle
from set_files import some_zca
from torch import Tensor

from gsdd_runtime import DistilledSet, reference
from gsdd_runtime.commands.cli import run
from gsdd_runtime.errors import InputError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx import TensorProto, helper  # noqa: E402
from onnx_models import PEAK, gradient_model, session, splat_model  # noqa: E402
from other_runtimes import ROOT, Feeds, OpenVino, openvino_missing, run_in_web, web_missing  # noqa: E402

from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder  # noqa: E402
from gsdd_runtime.export import splat_nodes  # noqa: E402
from gsdd_runtime.export.inlining import inline_splats  # noqa: E402
from gsdd_runtime.export.onnx import OPSETS, PREFIX, decoder_model, export_onnx  # noqa: E402

needs_openvino = pytest.mark.skipif(openvino_missing() is not None, reason=str(openvino_missing()))
needs_web = pytest.mark.skipif(web_missing() is not None, reason=str(web_missing()))

# What strains a runtime, of the table: nothing at all, the ends of float32, sharp edges, and images as they are fitted.
STRAINING = (
    "no-gaussians", "no-images", "far-off-canvas", "long-needles", "enormous", "opacity-range", "not-finite",
    "stretched-output", "fitted-color-32",
)  # fmt: skip
BATCHES = ([3], [0, 5, 3, 3], [], [-1])


def make_set(channels: int = 3, *, soft: bool = False, zca: bool = False) -> DistilledSet:
    gaussians = ordinary(6, 17, channels, 24, 90 + channels).bfloat16()
    labels = torch.arange(6) % 4
    if soft:
        labels = torch.nn.functional.one_hot(labels, 4).half() * 0.75 + 0.0625
    mean, std = [0.3, 0.4, 0.5, 0.6][:channels], [0.2, 0.25, 0.3, 0.35][:channels]
    whitening = some_zca(channels, 20, 24) if zca else None
    return DistilledSet(gaussians, labels, 20, 24, mean=mean, std=std, zca=whitening)


def expected(distilled: DistilledSet, normalize: bool = False) -> Tensor:
    images = reference.splat(distilled.gaussians.double(), 20, 24, dtype=torch.float64)
    return distilled.preparation.apply(images.float()).double() if normalize else images


@pytest.fixture(params=["together", "scanned"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All images at once in several parts, or one at a time."""
    scanned = request.param == "scanned"
    monkeypatch.setattr(splat_nodes, "SAMPLES_OF_EACH", 100 if scanned else 10_000)
    monkeypatch.setattr(splat_nodes, "SAMPLES_OF_ONE", 10_000)
    return request.param


def scans(graph: onnx.GraphProto, depth: int = 0) -> Iterator[int]:
    """How deep each Scan of a graph stands."""
    for node in graph.node:
        if node.op_type in ("Scan", "Loop", "If"):
            yield depth
        for attribute in node.attribute:
            yield from scans(attribute.g, depth + 1)


@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
def test_nothing_of_ours_is_left(way: str, opset: int) -> None:
    model = decoder_model(make_set(), normalize=True, inline=True, opset=opset)
    onnx.checker.check_model(model, full_check=True)
    assert [(imported.domain, imported.version) for imported in model.opset_import] == [("", opset)]
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert list(scans(model.graph)) == ([0] if way == "scanned" else [])
    public = {value.name for value in (*model.graph.input, *model.graph.output)}
    names = {name for node in model.graph.node for name in node.output}
    names |= {tensor.name for tensor in model.graph.initializer}
    assert not [name for name in names - public if not name.startswith(PREFIX)]


def test_only_images_of_many_samples_are_scanned() -> None:
    """CIFAR's and Tiny ImageNet's sizes are not; those of 128 x 128 pixels with many Gaussians are."""
    for count, side, scanned in ((22, 32, False), (60, 64, False), (64, 128, False), (65, 128, True)):
        distilled = DistilledSet(ordinary(1, count, 3, side, 1).bfloat16(), torch.tensor([0]), side, side)
        assert list(scans(decoder_model(distilled, inline=True).graph)) == ([0] if scanned else [])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("channels", "soft"), [(1, False), (3, True), (4, False)])
def test_images_and_labels_are_those_of_the_set(way: str, channels: int, soft: bool, normalize: bool) -> None:
    distilled = make_set(channels, soft=soft)
    running = session(decoder_model(distilled, normalize=normalize, inline=True), library=False)
    for indices in BATCHES:
        images, labels = running.run(None, {"indices": np.array(indices, np.int64)})
        want = expected(distilled, normalize)[indices]
        torch.testing.assert_close(torch.from_numpy(images).double(), want, atol=1e-5, rtol=0)
        assert torch.equal(torch.from_numpy(labels), distilled.labels[indices])


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "set.safetensors"
    distilled = make_set()
    distilled.save(path)
    assert run(["export", str(path), "--onnx", "--inline", "--dtype", "float16", "--size", "20x24"]) == 0
    decoder = OnnxRuntimeDecoder(tmp_path / "set.onnx", threads=2)
    images, labels = decoder.decode([4, 1])
    assert images.dtype == torch.float16
    torch.testing.assert_close(images.double(), expected(distilled)[[4, 1]], atol=2e-3, rtol=0)
    assert labels.tolist() == [0, 1]
    assert decoder.description["images"] == 6
    assert not onnx.load(tmp_path / "set.onnx").functions
    assert run(["export", str(path), "--onnx-train-step", "--inline"]) == 2
    assert "--inline is for --onnx" in capsys.readouterr().err


def inlined_case(name: str) -> tuple[onnx.ModelProto, Feeds]:
    gaussians, height, width, native_size, supersample = oracle(name).inputs
    model = splat_model(gaussians.shape[2] - 6, height, width, native_size, supersample, count=gaussians.shape[1])
    return inline_splats(model), {"gaussians": gaussians.contiguous().numpy()}


def check_case(name: str, images: np.ndarray) -> None:
    want = oracle(name)
    assert images.shape == want.images.shape
    if images.size:
        excess = (torch.from_numpy(images).double() - want.images).abs() - want.flips
        # Worst measured, of all runtimes: 1.2e-6, along a needle.
        assert excess.isfinite().all()
        assert excess.max() <= 1e-3


@needs_openvino
@pytest.mark.parametrize("name", STRAINING)
def test_awkward_images_in_openvino(name: str) -> None:
    model, feeds = inlined_case(name)
    check_case(name, OpenVino(model).run(feeds)[0])


@needs_openvino
@pytest.mark.parametrize("zca", [False, True])
def test_a_decoder_in_openvino(way: str, zca: bool) -> None:
    distilled = make_set(soft=True, zca=zca)
    running = OpenVino(decoder_model(distilled, normalize=True, inline=True))
    for indices in BATCHES:
        images, labels = running.run({"indices": np.array(indices, np.int64)})
        want = expected(distilled, normalize=True)[indices]
        torch.testing.assert_close(torch.from_numpy(images).double(), want, atol=1e-3, rtol=0)
        assert torch.equal(torch.from_numpy(labels), distilled.labels[indices])


@needs_openvino
def test_the_documented_lines_decode_in_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "onnx.md").read_text(), re.MULTILINE | re.DOTALL)
    (program,) = [block for block in blocks if "openvino" in block]
    distilled = make_set()
    export_onnx(distilled, tmp_path / "decoder.onnx", inline=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, np.ndarray] = {}
    exec(program, names)
    torch.testing.assert_close(torch.from_numpy(names["images"]).double(), expected(distilled)[:3], atol=1e-3, rtol=0)
    assert names["labels"].tolist() == [0, 1, 2]


@needs_openvino
def test_openvino_reads_no_function() -> None:
    """Why there is an inlined form. Once this fails, the README's list of what runs where is out of date."""
    with pytest.raises(Exception, match="GaussianSplat"):
        OpenVino(decoder_model(make_set()))


@needs_web
def test_awkward_images_and_decoders_in_onnxruntime_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distilled = make_set()
    feeds = [{"indices": np.array(indices, np.int64)} for indices in BATCHES]
    decoders = [decoder_model(distilled), decoder_model(distilled, inline=True)]
    monkeypatch.setattr(splat_nodes, "SAMPLES_OF_EACH", 100)
    decoders.append(decoder_model(distilled, inline=True))
    monkeypatch.undo()
    cases = {name: inlined_case(name) for name in STRAINING}
    runs = [(model, feeds) for model in decoders] + [(model, [fed]) for model, fed in cases.values()]
    results = run_in_web(runs, tmp_path)
    for result in results[: len(decoders)]:
        for indices, (images, labels) in zip(BATCHES, result, strict=True):
            want = expected(distilled)[indices]
            torch.testing.assert_close(torch.from_numpy(images).double(), want, atol=1e-5, rtol=0)
            assert labels.tolist() == distilled.labels[indices].tolist()
    for name, result in zip(cases, results[len(decoders) :], strict=True):
        check_case(name, result[0][0])


def test_the_reference_evaluator_runs_it(way: str) -> None:
    from onnx.reference import ReferenceEvaluator

    distilled = make_set()
    evaluator = ReferenceEvaluator(decoder_model(distilled, inline=True))
    images = evaluator.run(None, {"indices": np.array([2, 0])})[0]
    torch.testing.assert_close(torch.from_numpy(images).double(), expected(distilled)[[2, 0]], atol=1e-5, rtol=0)


@pytest.mark.parametrize("version", [21, OPSETS[-1] - 1])
def test_it_survives_the_version_converter(way: str, version: int) -> None:
    model = decoder_model(make_set(), normalize=True, inline=True)
    converted = onnx.version_converter.convert_version(model, version)
    onnx.checker.check_model(converted, full_check=True)
    assert converted.opset_import[0].version == version
    fed = {"indices": np.array([5, 2, 2])}
    before, after = (session(m, library=False).run(None, fed)[0] for m in (model, converted))
    assert np.array_equal(before, after)


def test_a_merged_model_is_inlined_too() -> None:
    distilled = make_set()
    decoder = decoder_model(distilled)
    gray = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["gray"], keepdims=1, axes=None)],
        "gray",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 20, 24])],
        [helper.make_tensor_value_info("gray", TensorProto.FLOAT, [1, 1, 1, 1])],
    )
    other = helper.make_model(gray, opset_imports=[helper.make_opsetid("", 20)], ir_version=decoder.ir_version)
    both = onnx.compose.merge_models(decoder, other, io_map=[("images", "x")], outputs=["gray"])
    inlined = inline_splats(both)
    assert not inlined.functions
    assert both.functions, "the given model stays as it was"
    (mean,) = session(inlined, library=False).run(None, {"indices": np.array([1, 2])})
    assert mean.item() == pytest.approx(expected(distilled)[[1, 2]].mean().item(), abs=1e-5)


def test_two_splats_in_one_model_have_names_of_their_own() -> None:
    model = splat_model(3, 8, 8, None, 2, count=4)
    second = onnx.NodeProto()
    second.CopyFrom(model.graph.node[0])
    second.output[0] = "again"
    model.graph.node.append(second)
    model.graph.output.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, ["batch", 3, 8, 8]))
    fed = {"gaussians": ordinary(2, 4, 3, 8, 1).numpy()}
    one, other = session(inline_splats(model), library=False).run(None, fed)
    assert np.array_equal(one, other)


def in_a_branch() -> onnx.ModelProto:
    model = splat_model(3, 8, 8, None, 2, count=4)
    inner = helper.make_graph(list(model.graph.node), "inner", [], list(model.graph.output))
    del model.graph.node[:]
    condition = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("", TensorProto.BOOL, [], [True]))
    branch = helper.make_node("If", ["yes"], ["images"], then_branch=inner, else_branch=inner)
    model.graph.node.extend([condition, branch])
    return model


REFUSED = {
    "nothing to inline": lambda: inline_splats(decoder_model(make_set(), inline=True)),
    "GaussianSplatGrad cannot be inlined": lambda: inline_splats(gradient_model(3, (8, 8), 2)),
    "inside a branch or a loop cannot be inlined": lambda: inline_splats(in_a_branch()),
    r"must be \[batch, count, 6 \+ channels\], count fixed": lambda: inline_splats(splat_model(3, 8, 8, None, 2)),
    "have 5 channels: 1 to 4": lambda: inline_splats(splat_model(5, 8, 8, None, 2, count=4)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_inlined_is_refused(message: str) -> None:
    with pytest.raises(InputError, match=message):
        REFUSED[message]()


def grown(tmp_path: Path, count: int, images: int, side: int) -> int:
    """How much a process grows beyond the output while it decodes that many images by an inlined model."""
    gaussians = ordinary(images, count, 3, side, 5).bfloat16()
    distilled = DistilledSet(gaussians, torch.zeros(images, dtype=torch.int64), side, side)
    path = export_onnx(distilled, tmp_path / "decoder.onnx", inline=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    arguments = [sys.executable, "-c", PEAK, str(path), str(images)]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    peak, output = map(int, ran.stdout.split())
    return peak - output


needs_peak = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")


# Measured: 12 MB; all samples of the batch at once are 204 MB.
@needs_peak
def test_memory_of_large_images_is_bounded_whatever_the_batch(tmp_path: Path) -> None:
    assert grown(tmp_path, 65, 12, 128) < 40e6


# Measured: 3.1 MB. Where all parts are computed before their sum it is 45 MB.
@needs_peak
def test_memory_of_images_computed_together_is_that_of_one_part(tmp_path: Path) -> None:
    assert grown(tmp_path, 54, 8, 128) < 8 * 6e6
