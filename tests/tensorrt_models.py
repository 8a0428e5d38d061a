"""Sets and ONNX models for the tests of the TensorRT exporter, and the plugin library that they load."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tensorrt_host import built_host

import gsdd_runtime as gsdd
from gsdd_runtime import networks
from gsdd_runtime.decoders.tensorrt_plugins import require_module
from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.export.onnx import IR_VERSION, OPSET, decoder_model
from gsdd_runtime.export.tensorrt import RTX_CAPABILITIES
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.gaussians import initial_gaussians

ONNX_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
TENSORRT_TYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BF16"}


def plugin_folder() -> Path:
    """The folder of the built plugin library; else of one over the CPU kernel: a builder sees no difference."""
    try:
        return gsdd.plugin_library("tensorrt").parent
    except LibraryNotBuiltError:
        library = built_host().library_on_cpu
        named = library.parent / "plugins" / "libgsdd_tensorrt.so"
        if not named.exists():
            named.parent.mkdir()
            named.symlink_to(library)
        return named.parent


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes ``gsdd.plugin_library("tensorrt")`` find a library."""
    monkeypatch.setenv("GSDD_PLUGIN_DIR", str(plugin_folder()))


def skip_without_engines() -> None:
    """Skips where the library is not built, or the GPU is one that no engine can be built for here."""
    try:
        gsdd.plugin_library("tensorrt")
    except LibraryNotBuiltError as error:
        pytest.skip(str(error))
    major, minor = torch.cuda.get_device_capability()
    if require_module("auto")[0] == "tensorrt-rtx" and f"{major}.{minor}" not in RTX_CAPABILITIES:
        pytest.skip(f"TensorRT-RTX has no engines for compute capability {major}.{minor}")


def distilled(images: int = 12, count: int = 20, *, soft: bool = False) -> gsdd.DistilledSet:
    generator = torch.Generator().manual_seed(images)
    gaussians = initial_gaussians(images, count, 3, 24, 32, generator).bfloat16()
    labels = torch.rand(images, 4, generator=generator).half() if soft else torch.arange(images) % 4
    return gsdd.DistilledSet(gaussians, labels, 24, 32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


def node(op: str, inputs: list[str], outputs: list[str], **attributes: int | str) -> onnx.NodeProto:
    """A node of ours with the attributes it must have, and others."""
    given = {"native_height": 24, "native_width": 32, **attributes}
    if op == contract.FORWARD:
        given = {"height": 24, "width": 32, **given}
    return helper.make_node(op, inputs, outputs, domain=contract.DOMAIN, **given)


def model(nodes: list[onnx.NodeProto], inputs: dict[str, tuple], outputs: dict[str, tuple]) -> onnx.ModelProto:
    """A model of the nodes; inputs and outputs by name: element type and shape."""

    def values(tensors: dict[str, tuple]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, *tensor) for name, tensor in tensors.items()]

    graph = helper.make_graph(nodes, "test", values(inputs), values(outputs))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def splat_model(gaussians: str = "float32", images: str = "float32", **attributes: int | str) -> onnx.ModelProto:
    return model(
        [node(contract.FORWARD, ["gaussians"], ["images"], dtype=ONNX_TYPES[images], **attributes)],
        {"gaussians": (ONNX_TYPES[gaussians], ["batch", 20, 9])},
        {"images": (ONNX_TYPES[images], ["batch", 3, 24, 32])},
    )


def gradient_model(gaussians: str = "float32") -> onnx.ModelProto:
    """Images, and the gradient of half their squared sum with respect to the Gaussians."""
    return model(
        [
            node(contract.FORWARD, ["gaussians"], ["images"]),
            node(contract.BACKWARD, ["images", "gaussians"], ["gradients"]),
        ],
        {"gaussians": (ONNX_TYPES[gaussians], ["batch", 20, 9])},
        {
            "images": (TensorProto.FLOAT, ["batch", 3, 24, 32]),
            "gradients": (TensorProto.FLOAT, ["batch", 20, 9]),
        },
    )


def classifier_model(network: str) -> onnx.ModelProto:
    """A decoder and a network in one graph: indices to logits and labels."""
    net = networks.build(network, 3, 4, (24, 32), torch.Generator().manual_seed(0)).eval()
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(2, 3, 24, 32),), written, input_names=["x"], output_names=["logits"], dynamo=False,
            opset_version=OPSET, dynamic_axes={"x": {0: "batch"}, "logits": {0: "batch"}},
        )  # fmt: skip
    exported = onnx.compose.add_prefix(onnx.load_from_string(written.getvalue()), "net/")
    decoder = decoder_model(distilled(), normalize=True)
    for following in exported.graph.node:
        following.input[:] = ["images" if name == "net/x" else name for name in following.input]
    decoder.graph.node.extend(exported.graph.node)
    decoder.graph.initializer.extend(exported.graph.initializer)
    decoder.graph.output.extend(exported.graph.output)
    onnx.checker.check_model(decoder)
    return decoder
