"""A model repository of Triton: read by Triton's own schema, and served by what its configuration says."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from refusals import check_refused
from test_loader import make_set

from gsdd_runtime.commands.cli import run
from gsdd_runtime.export.triton import configuration, export_triton

pytest.importorskip("onnx")
EXAMPLE = Path(__file__).parent.parent / "examples" / "triton" / "client.py"
NUMBERS = {"TYPE_FP32": np.float32, "TYPE_FP16": np.float16, "TYPE_INT64": np.int64}


@pytest.fixture(scope="module")
def schema() -> ModuleType:
    """Triton's model_config.proto, compiled; of its client's wheel, without the rest of it, which needs grpc."""
    try:
        found = [file for file in files("tritonclient") or () if file.parts[-2:] == ("grpc", "model_config_pb2.py")]
    except PackageNotFoundError:
        if os.environ.get("GSDD_REQUIRE_TRITON", "") not in ("", "0"):
            pytest.fail("no tritonclient, and GSDD_REQUIRE_TRITON is set")
        pytest.skip("no tritonclient: make triton")
    spec = importlib.util.spec_from_file_location("model_config_pb2", found[0].locate())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(schema: ModuleType, text: str) -> Any:
    from google.protobuf import text_format

    # An unknown field, or a value of another type, is an error.
    return text_format.Parse(text, schema.ModelConfig())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_schema_reads_the_configuration(schema: ModuleType, soft: bool, dtype: torch.dtype) -> None:
    text = configuration(make_set(soft=soft), 'a "name"', max_batch=64, size=(20, 24), dtype=dtype, library="/l/x.so")
    config = read(schema, text)
    assert (config.name, config.backend, config.max_batch_size) == ('a "name"', "onnxruntime", 64)
    (indices,), (images, labels) = config.input, config.output
    kinds = {value: name for name, value in schema.DataType.items()}
    assert (indices.name, kinds[indices.data_type], list(indices.dims)) == ("indices", "TYPE_INT64", [1])
    assert indices.HasField("reshape")
    assert list(indices.reshape.shape) == []
    wanted = {torch.float32: "TYPE_FP32", torch.float16: "TYPE_FP16", torch.bfloat16: "TYPE_BF16"}[dtype]
    assert (images.name, kinds[images.data_type], list(images.dims)) == ("images", wanted, [3, 20, 24])
    told = ("TYPE_FP16", [5], False) if soft else ("TYPE_INT64", [1], True)
    assert (kinds[labels.data_type], list(labels.dims), labels.HasField("reshape")) == told
    assert config.HasField("dynamic_batching")
    assert list(config.model_operations.op_library_filename) == ["/l/x.so"]


def test_an_engine_has_the_line_of_the_plugin(schema: ModuleType) -> None:
    text = configuration(make_set(), "decoder", backend="tensorrt")
    assert read(schema, text).backend == "tensorrt"
    assert "--backend-config=tensorrt,plugins=" in text


class Server:
    """Triton's part of one model: tensors between requests and the model as ``config.pbtxt`` says."""

    def __init__(self, repository: Path, name: str, schema: ModuleType) -> None:
        import onnxruntime

        self.config = read(schema, (repository / name / "config.pbtxt").read_text())
        self._kinds = {value: kind for kind, value in schema.DataType.items()}
        self._session = onnxruntime.InferenceSession(str(repository / name / "1" / "model.onnx"))

    def infer(self, request: dict[str, Any]) -> dict[str, Any]:
        (given,), (declared,) = request["inputs"], self.config.input
        batch = given["shape"][0]
        assert given["name"] == declared.name
        assert batch <= self.config.max_batch_size
        assert given["shape"][1:] == list(declared.dims)
        shape = [batch, *(declared.reshape.shape if declared.HasField("reshape") else declared.dims)]
        indices = np.array(given["data"], np.int64).reshape(shape)
        outputs = []
        names = [output.name for output in self.config.output]
        for declared, array in zip(self.config.output, self._session.run(names, {given["name"]: indices}), strict=True):
            kind = self._kinds[declared.data_type]
            inner = declared.reshape.shape if declared.HasField("reshape") else declared.dims
            assert list(array.shape) == [batch, *inner]
            assert array.dtype == NUMBERS[kind]
            outputs.append({
                "name": declared.name, "datatype": kind.removeprefix("TYPE_"), "shape": [batch, *declared.dims],
                "data": array.ravel().tolist(),
            })  # fmt: skip
        return {"model_name": self.config.name, "outputs": outputs}


@pytest.fixture
def served(tmp_path: Path, schema: ModuleType) -> Iterator[str]:
    """``host:port`` of a server of what the command line wrote of ``set.safetensors`` into ``models``."""
    pytest.importorskip("onnxruntime")
    make_set().save(tmp_path / "set.safetensors")
    assert run(["export", str(tmp_path / "set.safetensors"), "--triton", str(tmp_path / "models"), "--normalize"]) == 0
    model = Server(tmp_path / "models", "set", schema)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v2/models/set/infer"
            body = json.dumps(model.infer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_example_gets_images_from_a_server(served: str) -> None:
    spec = importlib.util.spec_from_file_location("triton_client", EXAMPLE)
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    indices = [0, 22, 7]
    answer = client.decode(served, "set", indices)
    expected = make_set().decode(indices, normalize=True)
    assert (torch.from_numpy(answer["images"]) - expected).abs().max() < 1e-3
    assert answer["labels"].tolist() == [[label] for label in make_set().labels[indices].tolist()]
    told = subprocess.run([sys.executable, str(EXAMPLE), served, "set", "3"], capture_output=True, text=True)
    assert told.stdout.splitlines() == ["images float32 (1, 3, 16, 16)", "labels int64 (1, 1)"]


def test_what_is_refused(tmp_path: Path) -> None:
    distilled = make_set()
    for options, words in (
        ({"backend": "python"}, ["backend 'python'", "onnxruntime, tensorrt"]),
        ({"backend": "tensorrt", "library": "x.so"}, ["--backend-config=tensorrt,plugins"]),
        ({"name": "../up"}, ["no name for a model"]),
        ({"name": ".hidden"}, ["no name for a model"]),
        ({"max_batch": 0}, ["max_batch must be a whole number of at least 1"]),
        ({"library": "a\nb"}, ["control characters"]),
        ({"dtype": torch.float64}, ["float64"]),
    ):
        check_refused(lambda options=options: export_triton(distilled, tmp_path / "models", **options), *words)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "other").write_text("something")
    check_refused(lambda: export_triton(distilled, tmp_path / "models"), "models")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["other"]
