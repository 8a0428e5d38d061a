"""The exported ONNX decoder: checked by onnx, run by stock onnxruntime, compared with the float64 reference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from awkward import ordinary
from torch import Tensor

from gsdd_runtime import DistilledSet, reference
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.export.onnx import METADATA_KEY, decoder_model, export_onnx

onnx = pytest.importorskip("onnx")
inliner = pytest.importorskip("onnx.inliner")
ort = pytest.importorskip("onnxruntime")

from onnx_models import PEAK  # noqa: E402

# Worst seen over all tests of this file: 2.4e-7.
TOLERANCE = 1e-5


def make_set(
    channels: int = 3, soft: bool = False, count: int = 17, images: int = 12, **fields: object
) -> DistilledSet:
    gaussians = ordinary(images, count, channels, 24, 90 + channels).bfloat16()
    labels = torch.arange(images) % 4
    if soft:
        labels = torch.nn.functional.one_hot(labels, 4).half() * 0.75 + 0.0625
    return DistilledSet(
        gaussians, labels, 20, 24, class_names=("ant", "bee", "cat", "dog"),
        mean=[0.3, 0.4, 0.5, 0.6][:channels], std=[0.2, 0.25, 0.3, 0.35][:channels], seed=7, **fields,
    )  # fmt: skip


def expected(distilled: DistilledSet, indices: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    assert distilled.gaussians is not None
    return reference.splat(
        distilled.gaussians[indices].double(), *(size or (20, 24)), native_size=(20, 24), dtype=torch.float64
    )


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path: Path, indices: Tensor) -> tuple[Tensor, Tensor]:
    images, labels = session(path).run(["images", "labels"], {"indices": indices.numpy()})
    return torch.from_numpy(images), torch.from_numpy(labels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("soft", [False, True])
def test_a_decoder_runs_in_stock_onnxruntime(tmp_path: Path, channels: int, soft: bool) -> None:
    distilled = make_set(channels, soft)
    path = export_onnx(distilled, tmp_path / "decoder.onnx")
    for indices in ([3], [0, 11, 3, 3], list(range(12)), []):
        chosen = torch.tensor(indices, dtype=torch.int64)
        images, labels = run(path, chosen)
        assert images.dtype == torch.float32
        torch.testing.assert_close(images.double(), expected(distilled, chosen), atol=TOLERANCE, rtol=0)
        assert torch.equal(labels, distilled.labels[chosen])


def test_negative_indices_count_from_the_end(tmp_path: Path) -> None:
    distilled = make_set()
    images, labels = run(export_onnx(distilled, tmp_path / "decoder.onnx"), torch.tensor([-1, -12]))
    torch.testing.assert_close(images.double(), expected(distilled, torch.tensor([11, 0])), atol=TOLERANCE, rtol=0)
    assert torch.equal(labels, distilled.labels[[11, 0]])


@pytest.mark.parametrize("indices", [[12], [-13], [0, 1 << 40]])
def test_an_index_out_of_range_is_an_error_and_the_session_goes_on(tmp_path: Path, indices: list[int]) -> None:
    running = session(export_onnx(make_set(), tmp_path / "decoder.onnx"))
    with pytest.raises(Exception, match=r"(?i)out of (data )?bounds|out of range"):
        running.run(None, {"indices": torch.tensor(indices).numpy()})
    assert running.run(None, {"indices": torch.tensor([1]).numpy()})[0].shape == (1, 3, 20, 24)


@pytest.mark.parametrize(
    "feed", [torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2), torch.zeros(2, dtype=torch.int32)]
)
def test_indices_of_another_rank_or_type_are_an_error(tmp_path: Path, feed: Tensor) -> None:
    running = session(export_onnx(make_set(), tmp_path / "decoder.onnx"))
    with pytest.raises(Exception, match=r"(?i)invalid rank|unexpected input data type"):
        running.run(None, {"indices": feed.numpy()})


@pytest.mark.parametrize("size", [(48, 40), (7, 9), (1, 1)])
def test_another_output_size(tmp_path: Path, size: tuple[int, int]) -> None:
    distilled = make_set()
    chosen = torch.arange(12)
    images, _ = run(export_onnx(distilled, tmp_path / "decoder.onnx", size=size), chosen)
    torch.testing.assert_close(images.double(), expected(distilled, chosen, size), atol=TOLERANCE, rtol=0)


def test_normalisation_is_that_of_the_set(tmp_path: Path) -> None:
    distilled = make_set()
    chosen = torch.arange(12)
    images, _ = run(export_onnx(distilled, tmp_path / "decoder.onnx", normalize=True), chosen)
    mean, std = (torch.tensor(values).double().view(1, -1, 1, 1) for values in (distilled.mean, distilled.std))
    torch.testing.assert_close(images.double(), (expected(distilled, chosen) - mean) / std, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images(tmp_path: Path, dtype: torch.dtype, normalize: bool) -> None:
    distilled = make_set()
    path = export_onnx(distilled, tmp_path / "decoder.onnx", dtype=dtype, normalize=normalize)
    exact = export_onnx(distilled, tmp_path / "exact.onnx", normalize=normalize)
    model = session(path)
    value = model.run_with_ort_values(
        ["images"], {"indices": ort.OrtValue.ortvalue_from_numpy(torch.arange(12).numpy())}
    )
    # numpy has no bfloat16: compare through what onnxruntime says of the type, and through DLPack.
    assert value[0].data_type() == f"tensor({str(dtype).removeprefix('torch.')})"
    images = (
        torch.from_dlpack(value[0]._ortvalue.to_dlpack())
        if dtype == torch.bfloat16
        else torch.from_numpy(value[0].numpy())
    )
    assert torch.equal(images, run(exact, torch.arange(12))[0].to(dtype))


def test_the_file_is_as_large_as_the_set_and_tells_of_it(tmp_path: Path) -> None:
    distilled = make_set(images=4000)
    path = export_onnx(distilled, tmp_path / "decoder.onnx")
    # Measured 16.5 kB: the function body and the description.
    assert distilled.nbytes < path.stat().st_size < distilled.nbytes + 24_000
    model = onnx.load(path)
    description = json.loads({entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY])
    assert description["class_names"] == ["ant", "bee", "cat", "dog"]
    assert (description["height"], description["width"], description["seed"]) == (20, 24, 7)
    stored = {initializer.name: initializer for initializer in model.graph.initializer}
    assert stored["gsdd_parameters"].data_type == onnx.TensorProto.BFLOAT16
    bits = distilled.gaussians.view(torch.uint8).numpy().tobytes()
    assert stored["gsdd_parameters"].raw_data == bits


def test_the_model_passes_the_strictest_checks() -> None:
    model = decoder_model(make_set(), normalize=True)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert {node.domain for node in inferred.graph.node} == {"", "gsdd"}
    function = model.functions[0]
    assert (function.domain, function.name) == ("gsdd", "GaussianSplat")
    assert {imported.domain: imported.version for imported in model.opset_import} == {"": 20, "gsdd": 1}
    assert {imported.domain: imported.version for imported in function.opset_import} == {"": 20}
    inlined = inliner.inline_local_functions(model)
    onnx.checker.check_model(inlined, full_check=True)
    assert {node.domain for node in inlined.graph.node} == {""}


def test_the_node_carries_what_tensorrt_looks_up() -> None:
    (node,) = [node for node in decoder_model(make_set()).graph.node if node.domain == "gsdd"]
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    assert (attributes["plugin_namespace"], attributes["plugin_version"]) == (b"gsdd", b"1")


def test_pixels_cannot_be_exported(tmp_path: Path) -> None:
    pixels = DistilledSet(None, torch.zeros(2, dtype=torch.int64), 4, 4, pixels=torch.zeros(2, 1, 4, 4).bfloat16())
    with pytest.raises(InputError, match="pixels"):
        export_onnx(pixels, tmp_path / "decoder.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 4)}, "height .* must be 1 to 16384, got 0"),
        ({"size": (4, 16385)}, "width .* got 16385"),
        ({"dtype": torch.float64}, "float32, float16, bfloat16, not float64"),
    ],
)
def test_bad_options_leave_no_file(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_onnx(make_set(), tmp_path / "decoder.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_a_set_without_mean_is_not_normalised(tmp_path: Path) -> None:
    plain = DistilledSet(ordinary(2, 3, 3, 8, 1).bfloat16(), torch.tensor([0, 1]), 8, 8)
    with pytest.raises(InputError, match="no mean and std"):
        export_onnx(plain, tmp_path / "decoder.onnx", normalize=True)
    assert export_onnx(plain, tmp_path / "decoder.onnx").is_file()


def test_without_the_packages_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(GsddError, match=r"onnxscript: pip install 'gsdd-rt\[export\]'"):
        export_onnx(make_set(), tmp_path / "decoder.onnx")


# Measured: twice the output and 4 to 16 MB (docs/onnx.md).
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize(("count", "images", "side"), [(60, 100, 64), (1500, 1, 128)])
def test_memory_is_bounded_whatever_the_batch(tmp_path: Path, count: int, images: int, side: int) -> None:
    distilled = DistilledSet(
        ordinary(images, count, 3, side, 5).bfloat16(), torch.zeros(images, dtype=torch.int64), side, side
    )
    path = export_onnx(distilled, tmp_path / "decoder.onnx")
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(images)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    grown, output = map(int, result.stdout.split())
    samples = 4 * images * count * (2 * side) ** 2
    assert samples > 390e6
    assert grown < 2 * output + 24e6
