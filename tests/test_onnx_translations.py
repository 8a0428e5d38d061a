"""``torch.onnx.export`` of a user's module that calls ``gsdd.splat``."""

from __future__ import annotations

import io
import logging
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from awkward import ordinary
from torch import Tensor, nn

import gsdd_runtime as gsdd
from gsdd_runtime.errors import InputError, LibraryNotBuiltError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx_models import library_ways, session  # noqa: E402
from other_runtimes import ROOT, OpenVino, openvino_missing  # noqa: E402

from gsdd_runtime.export import attach_functions, onnx_translations  # noqa: E402
from gsdd_runtime.export.inlining import inline_splats  # noqa: E402

try:
    gsdd.plugin_library("torch")
except LibraryNotBuiltError as error:
    pytest.skip(str(error), allow_module_level=True)

INDICES = torch.tensor([4, 0, 2])


class Splatted(nn.Module):
    """Parameters of its own, drawn and classified."""

    def __init__(self, dtype: torch.dtype | None = None, **normalization: Tensor) -> None:
        super().__init__()
        self.gaussians = nn.Parameter(ordinary(6, 7, 3, 12, 5).bfloat16())
        self.head = nn.Linear(3, 4, dtype=dtype)
        self.dtype = dtype
        self.names = list(normalization)
        for name, value in normalization.items():
            self.register_buffer(name, value)

    def forward(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        normalization = {name: getattr(self, name) for name in self.names}
        drawn = self.gaussians[indices]
        images = gsdd.splat(drawn, 12, 14, native_size=(10, 11), supersample=3, dtype=self.dtype, **normalization)
        return images, self.head(images.mean((2, 3)))


def exported(module: nn.Module, *arguments: Tensor, table: bool = True, shapes: Any = None, **options: Any) -> Any:
    shapes = shapes or tuple({0: torch.export.Dim("batch")} for _ in arguments)
    given = {"custom_translation_table": onnx_translations()} if table else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            return torch.onnx.export(module.eval(), arguments, dynamic_shapes=shapes, verbose=False, **given, **options)
        finally:
            logging.disable(logging.NOTSET)


def saved(program: Any) -> onnx.ModelProto:
    """What is in its file."""
    written = io.BytesIO()
    program.save(written)
    return onnx.load_from_string(written.getvalue())


MODULES = {
    # One of each kind: nothing, one statistic, both and another type.
    "plain": lambda: Splatted(),
    "shifted": lambda: Splatted(mean=torch.tensor([0.1, 0.2, 0.3])),
    "normalized-half": lambda: Splatted(
        torch.float16, mean=torch.tensor([0.1, 0.2, 0.3]), std=torch.tensor([0.5, 0.6, 0.7])
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_splats_runs_with_and_without_the_library(name: str) -> None:
    module = MODULES[name]()
    program = exported(module, torch.tensor([1, 2]))
    attach_functions(program)
    model = saved(program)
    onnx.checker.check_model(model, full_check=True)
    (node,) = [node for node in model.graph.node if node.domain == "gsdd"]
    assert {"plugin_namespace", "plugin_version"} <= {attribute.name for attribute in node.attribute}
    # Declared: onnxruntime 1.18 derives no type from an attribute.
    assert node.output[0] in {value.name for value in (*model.graph.value_info, *model.graph.output)}
    with torch.no_grad():
        expected = module(INDICES)
    tolerance = 2e-3 if "half" in name else 1e-3
    for library in library_ways():
        found = session(model, library=library).run(None, {"indices": INDICES.numpy()})
        for value, want in zip(found, expected, strict=True):
            assert value.dtype == np.dtype(str(want.dtype).removeprefix("torch."))
            torch.testing.assert_close(torch.from_numpy(value), want, atol=tolerance, rtol=0)


def test_another_opset() -> None:
    module, opset = Splatted(torch.float16), 23
    program = exported(module, torch.tensor([1, 2]), opset_version=opset)
    attach_functions(program)
    model = saved(program)
    assert {imported.version for f in model.functions for imported in f.opset_import} == {opset}
    images = session(model, library=False).run(None, {"indices": INDICES.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(images), module(INDICES)[0].detach(), atol=2e-3, rtol=0)


def test_without_the_table_torch_knows_no_translation() -> None:
    with pytest.raises(Exception, match=r"No ONNX function found for .*gsdd\.splat"):
        exported(Splatted(), torch.tensor([1, 2]), table=False)


class Gradient(nn.Module):
    def forward(self, gaussians: Tensor) -> Tensor:
        return torch.ops.gsdd.splat_backward(torch.ops.gsdd.splat(gaussians, 9, 8, 9, 8), gaussians, 9, 8)


def test_the_gradient_is_translated_too() -> None:
    gaussians = ordinary(3, 5, 3, 9, 6)
    program = exported(Gradient(), gaussians[:2])
    attach_functions(program)
    model = saved(program)
    assert {function.name for function in model.functions} == {"GaussianSplat", "GaussianSplatGrad"}
    want = Gradient()(gaussians)
    for library in library_ways():
        (found,) = session(model, library=library).run(None, {"gaussians": gaussians.numpy()})
        assert torch.linalg.vector_norm(torch.from_numpy(found) - want) < 1e-3 * torch.linalg.vector_norm(want)


class ScaledGradient(nn.Module):
    def forward(self, images: Tensor, gaussians: Tensor, scale: Tensor) -> Tensor:
        return torch.ops.gsdd.splat_backward(images, gaussians, 9, 8, 2, scale)


def test_the_gradient_of_narrow_scaled_images_is_translated() -> None:
    gaussians = ordinary(3, 5, 3, 9, 6)
    given = (torch.rand(3, 3, 9, 8).half(), gaussians, torch.tensor([2.0, 3.0, 4.0]))
    program = exported(ScaledGradient(), *given, shapes=({}, {}, {}))
    attach_functions(program)
    (found,) = session(saved(program), library=False).run(
        None, dict(zip(("images", "gaussians", "scale"), (part.numpy() for part in given), strict=True))
    )
    want = ScaledGradient()(*given)
    assert torch.linalg.vector_norm(torch.from_numpy(found) - want) < 1e-3 * torch.linalg.vector_norm(want)


class OfAnySize(nn.Module):
    def forward(self, gaussians: Tensor, images: Tensor) -> Tensor:
        return gsdd.splat(gaussians, images.shape[2], 8) + images


def test_a_dynamic_size_is_refused() -> None:
    example = (torch.rand(1, 5, 9), torch.zeros(1, 3, 9, 8))
    with pytest.raises(Exception, match="fixed sizes alone: height is not"):
        exported(OfAnySize(), *example, shapes=({}, {2: torch.export.Dim("height")}))


def test_a_file_without_functions_gets_them_once() -> None:
    model = saved(exported(Splatted(), torch.tensor([1, 2])))
    assert not model.functions
    attach_functions(model)
    attach_functions(model)
    assert [function.name for function in model.functions] == ["GaussianSplat"]
    assert session(model, library=False).run(None, {"indices": INDICES.numpy()})[0].shape == (3, 3, 12, 14)


def test_a_model_without_our_nodes_gets_none() -> None:
    with pytest.raises(InputError, match="no node of the domain gsdd"):
        attach_functions(exported(nn.Linear(3, 4), torch.zeros(2, 3), table=False))


@pytest.mark.skipif(openvino_missing() is not None, reason=str(openvino_missing()))
def test_an_exported_module_is_inlined_for_openvino() -> None:
    module = MODULES["shifted"]()
    model = inline_splats(exported(module, torch.tensor([1, 2])).model_proto)
    images, logits = OpenVino(model).run({"indices": INDICES.numpy()})
    for value, want in zip((images, logits), module(INDICES), strict=True):
        torch.testing.assert_close(torch.from_numpy(value), want.detach(), atol=1e-3, rtol=0)


def test_the_documented_lines_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "onnx.md").read_text(), re.MULTILINE | re.DOTALL)
    (program,) = [block for block in blocks if "onnx_translations" in block]
    monkeypatch.chdir(tmp_path)
    names = {"module": Splatted().eval(), "example": torch.tensor([1, 2]), "torch": torch}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(program, names)
    model = onnx.load(tmp_path / "module.onnx")
    assert session(model, library=False).run(None, {"indices": INDICES.numpy()})[0].shape == (3, 3, 12, 14)
