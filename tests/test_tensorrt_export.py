"""Building TensorRT engines from sets and ONNX models. TensorRT-RTX does it without a GPU."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from set_files import some_zca
from tensorrt_models import (
    TENSORRT_TYPES,
    classifier_model,
    distilled,
    gradient_model,
    model,
    node,
    plugins,  # noqa: F401 - a fixture
    splat_model,
)

from gsdd_runtime import DistilledSet
from gsdd_runtime.commands.cli import run
from gsdd_runtime.commands.examination import examine
from gsdd_runtime.decoders.tensorrt import read_engine
from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
from gsdd_runtime.export.onnx import OPSET, export_onnx
from gsdd_runtime.export.splat_function import splat_function
from gsdd_runtime.export.tensorrt import RTX_CAPABILITIES, export_tensorrt
from gsdd_runtime.progress import Progress
from gsdd_runtime.splatting import contract

pytestmark = [pytest.mark.tensorrt, pytest.mark.usefixtures("plugins")]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# Bytes of an engine beyond its parameters: 149,180 for a decoder, 291,300 where it normalises (TensorRT-RTX 1.7).
OVERHEAD = 400_000


def built(source: Any, folder: Path, **options: Any) -> tuple[Path, dict[str, Any]]:
    """The engine of a set or a model, and its description."""
    if isinstance(source, onnx.ModelProto):
        onnx.save(source, folder / "model.onnx")
        source = folder / "model.onnx"
    engine = export_tensorrt(source, folder / "out.engine", **options)
    return engine, json.loads(Path(f"{engine}.json").read_text())


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_set_becomes_an_engine_with_its_description(dtype: str, normalize: bool, tmp_path: Path) -> None:
    source = distilled()
    options = {"min_batch": 2, "opt_batch": 5, "max_batch": 9}
    engine, sidecar = built(source, tmp_path, dtype=DTYPES[dtype], normalize=normalize, size=(30, 50), **options)
    content = engine.read_bytes()
    assert sidecar["engine_sha256"] == hashlib.sha256(content).hexdigest()
    assert sidecar["engine_bytes"] == len(content)
    assert source.nbytes < len(content) < source.nbytes + OVERHEAD
    assert sidecar["profile"] == {"indices": {"min": [2], "opt": [5], "max": [9]}}
    assert sidecar["inputs"] == [{"name": "indices", "dtype": "INT64", "shape": [-1]}]
    assert sidecar["outputs"] == [
        {"name": "images", "dtype": TENSORRT_TYPES[dtype], "shape": [-1, 3, 30, 50]},
        {"name": "labels", "dtype": "INT64", "shape": [-1]},
    ]
    (plugin,) = sidecar["plugins"]
    assert (plugin["namespace"], plugin["name"], plugin["version"]) == ("gsdd", "GaussianSplat", "1")
    sizes = {"height": 30, "width": 50, "native_height": 24, "native_width": 32, "supersample": 2}
    assert sizes.items() <= plugin["attributes"].items()
    assert sidecar["description"]["normalized"] is normalize
    if sidecar["builder"] == "tensorrt-rtx":
        assert sidecar["compute_capabilities"] == list(RTX_CAPABILITIES)
    assert read_engine(engine) == (content, sidecar)


def test_the_plan_holds_the_plugin_and_every_attribute(tmp_path: Path) -> None:
    content = built(splat_model(), tmp_path)[0].read_bytes()
    for name in (contract.FORWARD, *contract.read()["ops"][contract.FORWARD]["attributes"]):
        assert name.encode() in content


def test_parameters_stay_bfloat16_in_the_engine(tmp_path: Path) -> None:
    small, _ = built(distilled(images=10, count=50), tmp_path)
    size = small.stat().st_size
    large, _ = built(distilled(images=2010, count=50), tmp_path)
    parameters, labels = 2000 * 50 * 9 * 2, 2000 * 8
    assert abs(large.stat().st_size - size - parameters - labels) < 4096


def test_soft_labels(tmp_path: Path) -> None:
    _, sidecar = built(distilled(soft=True), tmp_path)
    assert {"name": "labels", "dtype": "HALF", "shape": [-1, 4]} in sidecar["outputs"]


@pytest.mark.parametrize("images", DTYPES)
@pytest.mark.parametrize("gaussians", DTYPES)
def test_every_pair_of_dtypes_in_a_strongly_typed_network(gaussians: str, images: str, tmp_path: Path) -> None:
    _, sidecar = built(splat_model(gaussians, images), tmp_path)
    assert sidecar["inputs"] == [{"name": "gaussians", "dtype": TENSORRT_TYPES[gaussians], "shape": [-1, 20, 9]}]
    assert sidecar["outputs"] == [{"name": "images", "dtype": TENSORRT_TYPES[images], "shape": [-1, 3, 24, 32]}]


@pytest.mark.parametrize("gaussians", DTYPES)
def test_the_gradient_op(gaussians: str, tmp_path: Path) -> None:
    _, sidecar = built(gradient_model(gaussians), tmp_path)
    assert [plugin["name"] for plugin in sidecar["plugins"]] == ["GaussianSplat", "GaussianSplatGrad"]
    assert {"name": "gradients", "dtype": "FLOAT", "shape": [-1, 20, 9]} in sidecar["outputs"]


def test_a_decoder_and_a_network_in_one_engine(tmp_path: Path) -> None:
    # 11.2 million weights in float32, which no simpler form of the engine could hold.
    engine, sidecar = built(classifier_model("resnet18"), tmp_path, max_batch=32)
    assert [tensor["name"] for tensor in sidecar["outputs"]] == ["images", "labels", "net/logits"]
    assert sidecar["outputs"][2]["shape"] == [-1, 4]
    assert 44_600_000 < engine.stat().st_size < 60_000_000


def test_a_function_of_the_models_own_does_not_take_the_plugins_place(tmp_path: Path) -> None:
    source = splat_model()
    assert not any(attribute.name == "plugin_namespace" for attribute in source.graph.node[0].attribute)
    source.functions.append(splat_function(OPSET))
    engine, _ = built(source, tmp_path)
    assert b"GaussianSplat" in engine.read_bytes()


def test_progress_counts_up_in_every_phase(tmp_path: Path) -> None:
    reports: list[Progress] = []
    built(splat_model(), tmp_path, progress=reports.append)
    whole = [report for report in reports if report.phase == reports[0].phase]
    assert [report.step for report in whole] == sorted(report.step for report in whole)
    assert whole[0].step == 0
    assert whole[-1].step == whole[-1].total > 1
    assert all(0 <= report.step <= report.total for report in reports)


def refusal(error: type[GsddError], words: str, folder: Path, source: Any, **options: Any) -> None:
    """The export raises, in one line, and leaves an earlier file and nothing else."""
    (folder / "out.engine").write_bytes(b"earlier")
    with pytest.raises(error, match=re.escape(words)) as raised:
        built(source, folder, **options)
    assert "\n" not in str(raised.value)
    assert (folder / "out.engine").read_bytes() == b"earlier"
    assert {path.name for path in folder.iterdir()} <= {"out.engine", "model.onnx"}


def test_attributes_that_the_plugin_refuses(tmp_path: Path) -> None:
    words = "gsdd::GaussianSplat: the attribute 'height' must be 1 to 16384, not 16385"
    refusal(GsddError, words, tmp_path, splat_model(height=16385))
    refusal(GsddError, "'supersample' must be 1 to 8, not 0", tmp_path, splat_model(supersample=0))


def test_shapes_that_the_plugin_refuses(tmp_path: Path) -> None:
    source = splat_model()
    source.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 14
    refusal(GsddError, "1 to 4 channels, not 14", tmp_path, source)


def test_dtypes_that_the_plugin_refuses(tmp_path: Path) -> None:
    source = model(
        [node(contract.FORWARD, ["gaussians"], ["images"])],
        {"gaussians": (onnx.TensorProto.INT32, ["batch", 20, 9])},
        {"images": (onnx.TensorProto.FLOAT, ["batch", 3, 24, 32])},
    )
    refusal(GsddError, "gaussians must be float32, float16 or bfloat16", tmp_path, source)


def test_a_compute_capability_that_the_builder_does_not_know(tmp_path: Path) -> None:
    options = {"builder": "tensorrt-rtx", "compute_capabilities": ["9.9"]}
    refusal(GsddError, "does not build for compute capability 9.9: choose among", tmp_path, splat_model(), **options)


def test_one_compute_capability(tmp_path: Path) -> None:
    _, sidecar = built(splat_model(), tmp_path, builder="tensorrt-rtx", compute_capabilities=["8.6"])
    assert sidecar["compute_capabilities"] == ["8.6"]


def test_a_library_that_is_no_plugin_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_library(tmp_path, 'extern "C" int nothing() { return 0; }')
    monkeypatch.setenv("GSDD_PLUGIN_DIR", str(library.parent))
    folder = tmp_path / "out"
    folder.mkdir()
    refusal(LibraryNotBuiltError, f"cannot load {library}", folder, splat_model())


def test_a_builder_that_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        '#include <cstdlib>\nextern "C" void setLoggerFinder(void*) {}\nextern "C" void* getCreators(int&) { abort(); }'
    )
    monkeypatch.setenv("GSDD_PLUGIN_DIR", str(fake_library(tmp_path, source).parent))
    folder = tmp_path / "out"
    folder.mkdir()
    refusal(GsddError, "the builder ended with status -6", folder, splat_model())


def fake_library(folder: Path, source: str) -> Path:
    library = folder / "plugins" / "libgsdd_tensorrt.so"
    library.parent.mkdir()
    command = ["c++", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
    subprocess.run(command, input=source, text=True, check=True)
    return library


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    onnx.save(splat_model(), tmp_path / "model.onnx")
    with pytest.raises(KeyboardInterrupt):
        export_tensorrt(tmp_path / "model.onnx", tmp_path / "out.engine", progress=interrupt)
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_an_exported_decoder_gives_the_engine_of_its_set(tmp_path: Path) -> None:
    source = distilled()
    _, from_set = built(source, tmp_path)
    path = export_onnx(source, tmp_path / "decoder.onnx")
    engine = export_tensorrt(path, tmp_path / "decoder.engine")
    from_model = json.loads(Path(f"{engine}.json").read_text())
    assert from_model["source"] == {"file": "decoder.onnx", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    for name in ("inputs", "outputs", "plugins", "profile", "description", "engine_bytes"):
        assert from_model[name] == from_set[name]
    with pytest.raises(InputError, match="is a finished model"):
        export_tensorrt(path, tmp_path / "decoder.engine", normalize=True)


REGISTER = """
import sys
from importlib import import_module
import numpy as np
from gsdd_runtime.decoders.tensorrt_plugins import load_plugin_library, make_logger
trt = import_module(sys.argv[1])
load_plugin_library(trt, make_logger(trt))
creator = trt.get_plugin_registry().get_creator("GaussianSplat", "1", "gsdd")
def create(**attributes):
    arrays = {name: np.array([value], np.int32) for name, value in attributes.items()}
    fields = [trt.PluginField(name, array, trt.PluginFieldType.INT32) for name, array in arrays.items()]
    return creator.create_plugin("layer", trt.PluginFieldCollection(fields), trt.TensorRTPhase.RUNTIME)
assert create(height=8, width=9, native_height=8, native_width=9, supersample=3, dtype=16) is not None
assert create(height=0, width=9, native_height=8, native_width=9) is None
print("registered")
"""


@pytest.mark.parametrize(
    "module", ["tensorrt", "tensorrt_lean", "tensorrt_lean_bindings", "tensorrt_rtx", "tensorrt_rtx_bindings"]
)
def test_one_library_registers_in_every_tensorrt(module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    command = [sys.executable, "-c", REGISTER, module]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("registered\n")


def test_the_command_takes_a_set_or_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "set.safetensors"
    distilled().save(source)
    options = ["--max-batch", "16", "--dtype", "bfloat16"]
    assert run(["export", str(source), "--onnx", "--tensorrt", "--normalize", *options]) == 0
    engine = tmp_path / "set.engine"
    assert f"{engine}: {engine.stat().st_size} bytes" in capsys.readouterr().out
    assert read_engine(engine)[1]["source"]["file"] == "set.safetensors"
    assert run(["export", str(tmp_path / "set.onnx"), "--tensorrt", str(tmp_path / "other.engine")]) == 0
    profile = read_engine(tmp_path / "other.engine")[1]["profile"]
    assert profile == {"indices": {"min": [1], "opt": [256], "max": [256]}}
    capsys.readouterr()
    assert run(["export", str(source), "--tensorrt", "--min-batch", "9", "--max-batch", "8"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_doctor_builds_an_engine() -> None:
    (finding,) = (finding for finding in examine() if finding.part == "tensorrt engine")
    assert finding.status == "ok"
    assert re.match(r"built by tensorrt(-rtx)? [0-9.]+; ", finding.detail)


def test_an_engine_whitens_by_the_matrix_of_the_set(tmp_path: Path) -> None:
    plain = distilled()
    source = DistilledSet(plain.gaussians, plain.labels, 12, 16, zca=some_zca(3, 12, 16))
    assert source.zca is not None
    engine, sidecar = built(source, tmp_path, normalize=True, dtype=torch.float16)
    assert (sidecar["description"]["normalized"], sidecar["description"]["zca"]) == (True, True)
    # Of a plain decoder it is at most OVERHEAD.
    assert engine.stat().st_size > source.zca.nbytes > 2 * OVERHEAD
