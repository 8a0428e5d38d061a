"""What happens before a builder sees a model, and what a decoder refuses: no TensorRT is needed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tensorrt_models import distilled, model, node, splat_model

from gsdd_runtime.decoders.tensorrt import SIDECAR_FORMAT, TensorRTDecoder, decoder_description, read_engine
from gsdd_runtime.decoders.tensorrt_plugins import MODULES, installed_module, require_module
from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
from gsdd_runtime.export import tensorrt
from gsdd_runtime.export.onnx import OPSET, decoder_model, our_nodes
from gsdd_runtime.export.splat_function import splat_function
from gsdd_runtime.export.tensorrt import export_tensorrt
from gsdd_runtime.export.tensorrt_model import Profile, input_shapes, plugin_model, widen_parameters
from gsdd_runtime.splatting import contract

WANTED = {"plugin_namespace": b"gsdd", "plugin_version": b"1"}


def attributes(of: onnx.NodeProto) -> dict:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in of.attribute}


def initialisers(of: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in of.graph.initializer}


@pytest.mark.parametrize("normalize", [False, True])
def test_parameters_are_widened_bit_for_bit_and_nothing_else(normalize: bool) -> None:
    before = plugin_model(decoder_model(distilled(), normalize=normalize, size=None, dtype=torch.float32))
    after = plugin_model(before)
    widen_parameters(after)
    changed = [name for name, tensor in initialisers(after).items() if tensor != initialisers(before)[name]]
    assert len(changed) == 1
    wide, narrow = (numpy_helper.to_array(initialisers(one)[changed[0]]) for one in (after, before))
    assert wide.dtype == "float32"
    assert (wide == narrow.astype("float32")).all()
    assert all(tensor.data_type != TensorProto.BFLOAT16 for tensor in after.graph.initializer)
    onnx.checker.check_model(after, full_check=False)


@pytest.mark.parametrize(
    ("capabilities", "kind"), [(["7.5"], TensorProto.FLOAT), (["8.0", "12.0"], TensorProto.BFLOAT16)]
)
def test_an_engine_for_a_gpu_without_bfloat16_holds_float32(
    capabilities: list[str], kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def build(job: dict, folder: Path, progress: object) -> dict:
        seen.append(onnx.load(job["model"]))
        Path(job["engine"]).write_bytes(b"engine")
        return {}

    monkeypatch.setattr(tensorrt, "require_module", lambda name: ("tensorrt-rtx", "tensorrt_rtx"))
    monkeypatch.setattr(tensorrt, "plugin_library", lambda name: tmp_path)
    monkeypatch.setattr(tensorrt, "_build", build)
    export_tensorrt(distilled(), tmp_path / "out.engine", builder="tensorrt-rtx", compute_capabilities=capabilities)
    assert kind in {tensor.data_type for tensor in seen[0].graph.initializer}
    assert (TensorProto.BFLOAT16 in {tensor.data_type for tensor in seen[0].graph.initializer}) == (
        kind == TensorProto.BFLOAT16
    )


def test_our_functions_go_and_our_nodes_name_the_plugin() -> None:
    source = splat_model()
    other = helper.make_function(
        "elsewhere", "GaussianSplat", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    source.functions.extend([splat_function(OPSET), other])
    ready = plugin_model(source)
    assert [function.domain for function in ready.functions] == ["elsewhere"]
    assert WANTED.items() <= attributes(ready.graph.node[0]).items()
    assert len(source.functions) == 2, "the given model stays as it was"
    assert not WANTED.keys() & attributes(source.graph.node[0]).keys()
    assert plugin_model(ready) == ready, "once is enough"


def test_nodes_in_branches_are_found() -> None:
    inner = helper.make_graph([node(contract.FORWARD, ["gaussians"], ["a"])], "then", [], [])
    other = helper.make_graph([node(contract.FORWARD, ["gaussians"], ["b"])], "else", [], [])
    branch = helper.make_node("If", ["condition"], ["images"], then_branch=inner, else_branch=other)
    source = model([branch], {"gaussians": (TensorProto.FLOAT, ["batch", 20, 9])}, {})
    ready = plugin_model(source)
    assert len(our_nodes(ready)) == 2
    assert all(WANTED.items() <= attributes(found).items() for found in our_nodes(ready))


def test_a_model_without_our_nodes_is_refused() -> None:
    plain = model([helper.make_node("Neg", ["x"], ["y"])], {"x": (TensorProto.FLOAT, [2])}, {})
    with pytest.raises(InputError, match="no node gsdd::GaussianSplat or gsdd::GaussianSplatGrad"):
        plugin_model(plain)


def test_the_profile_covers_inputs_with_a_dynamic_batch_alone() -> None:
    tensors = {"a": (TensorProto.FLOAT, ["n", 3]), "b": (TensorProto.FLOAT, [4, 5]), "c": (TensorProto.INT64, [])}
    source = model([node(contract.FORWARD, ["a"], ["y"])], tensors, {})
    assert input_shapes(source, Profile(1, 4, 8)) == {"a": {"min": [1, 3], "opt": [4, 3], "max": [8, 3]}}


def test_another_dynamic_dimension_is_refused() -> None:
    source = model([node(contract.FORWARD, ["a"], ["y"])], {"a": (TensorProto.FLOAT, ["n", "count", 9])}, {})
    with pytest.raises(InputError, match="the input a of the model is dynamic beyond its batch"):
        input_shapes(source, Profile(1, 4, 8))


@pytest.mark.parametrize(
    ("batches", "optimum"), [((1, None, 256), 256), ((1, 1, 16), 1), ((2, 5, 9), 5), ((3, None, 3), 3)]
)
def test_batch_sizes(batches: tuple, optimum: int) -> None:
    assert Profile.checked(*batches).optimum == optimum


@pytest.mark.parametrize("batches", [(0, 1, 2), (2, 1, 3), (1, 4, 3), (5, None, 4), (-1, None, -1)])
def test_batch_sizes_out_of_order_are_refused(batches: tuple) -> None:
    minimum, optimum, maximum = batches
    with pytest.raises(InputError, match="1 <= min <= opt <= max"):
        export_tensorrt(distilled(), "decoder.engine", min_batch=minimum, opt_batch=optimum, max_batch=maximum)


def test_builders_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no builder 'triton': choose auto, tensorrt or tensorrt-rtx"):
        installed_module("triton")
    monkeypatch.setitem(MODULES, "tensorrt", ("no_such_module",))
    with pytest.raises(GsddError, match="no tensorrt is installed: install TensorRT"):
        require_module("tensorrt")
    monkeypatch.setitem(MODULES, "tensorrt-rtx", ("no_such_module", "json"))
    assert installed_module("auto") == ("tensorrt-rtx", "json")
    monkeypatch.setitem(MODULES, "tensorrt-rtx", ("no_such_module",))
    with pytest.raises(GsddError, match="neither TensorRT nor TensorRT-RTX is installed"):
        require_module("auto")


def test_a_missing_plugin_library_is_told_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODULES, "tensorrt-rtx", ("json",))
    monkeypatch.delenv("GSDD_PLUGIN_DIR", raising=False)
    monkeypatch.setattr("gsdd_runtime.splatting.native.installed_file", lambda *parts: None)
    with pytest.raises(LibraryNotBuiltError, match=r"libgsdd_tensorrt\.so is not built"):
        export_tensorrt(distilled(), tmp_path / "out.engine", builder="tensorrt-rtx")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_decoder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(GsddError, match=r"runs on a CUDA device and torch .* sees none: decode with torch or onnx"):
        TensorRTDecoder(tmp_path / "decoder.engine")
    if find_spec("tensorrt"):
        with pytest.raises(InputError, match="choose the builder tensorrt-rtx"):
            export_tensorrt(distilled(), tmp_path / "out.engine", builder="tensorrt")


def sidecar(**changes: object) -> dict:
    # The digest is of the engine b"engine".
    plain = {
        "format": SIDECAR_FORMAT,
        "engine_sha256": "a3f8d5e5d9d2c1a2d4b1e6b9f9f2b7d6a0e6b0a1c9d2c9f5c4f1c2b3a4d5e6f7",
        "builder": "tensorrt-rtx",
        "builder_version": "1.7",
        "inputs": [{"name": "indices"}],
        "outputs": [{"name": "images"}, {"name": "labels"}],
        "description": {"images": 5, "channels": 3, "height": 8, "width": 8, "classes": 2},
    }
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("{}", "is damaged"),
        (json.dumps(sidecar(format="x")), "is damaged"),
        (json.dumps(sidecar(format=SIDECAR_FORMAT + 1)), "newer version of gsdd-rt: upgrade"),
        (json.dumps(sidecar()), "is not the engine that .* describes: export it again"),
    ],
)
def test_a_description_that_does_not_fit_its_engine(text: str, words: str, tmp_path: Path) -> None:
    engine = tmp_path / "decoder.engine"
    engine.write_bytes(b"engine")
    Path(f"{engine}.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read_engine(engine)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    engine = tmp_path / "decoder.engine"
    with pytest.raises(InputError, match=f"cannot read {engine}: No such file"):
        read_engine(engine)
    engine.write_bytes(b"engine")
    with pytest.raises(InputError, match=rf"cannot read {engine}\.json: No such file"):
        read_engine(engine)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outputs": [{"name": "logits"}]}, "is no decoder of a set: its tensors are indices, logits"),
        ({"inputs": None}, "is damaged"),
        ({"description": None}, "does not describe a decoder"),
        ({"description": {"images": "many"}}, "does not describe a decoder"),
        ({"builder": 3}, "does not describe a decoder"),
    ],
)
def test_an_engine_that_is_no_decoder(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decoder_description("decoder.engine", sidecar(**changes))
    assert decoder_description("decoder.engine", sidecar())["classes"] == 2


@pytest.mark.parametrize(("content", "words"), [(b"no model", "as an ONNX model"), (None, "cannot read")])
def test_a_model_that_cannot_be_read(
    content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODULES, "tensorrt-rtx", ("json",))
    monkeypatch.setattr("gsdd_runtime.export.tensorrt.plugin_library", lambda runtime: tmp_path / "library.so")
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        export_tensorrt(path, tmp_path / "out.engine", builder="tensorrt-rtx")
