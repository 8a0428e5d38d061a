"""The operator library in onnxruntime: that it is what runs, its types and errors, and that threads change nothing.

Its images and gradients are held to the reference on the whole table of awkward inputs by test_doors.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from awkward import ordinary
from torch import Tensor

from gsdd_runtime import DistilledSet, plugin_library, reference
from gsdd_runtime.decoders.onnxruntime import session_options
from gsdd_runtime.errors import LibraryNotBuiltError

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx_models import gradient_model, session, splat_model  # noqa: E402

from gsdd_runtime.export.onnx import export_onnx  # noqa: E402

try:
    plugin_library("onnxruntime")
except LibraryNotBuiltError as missing:
    pytest.skip(str(missing), allow_module_level=True)

FLOAT, HALF, BFLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16
TORCH = {FLOAT: torch.float32, HALF: torch.float16, BFLOAT16: torch.bfloat16}


def operators_run(path: Path, tmp_path: Path, library: bool) -> set[str]:
    """Names of the operators that a session has run, from onnxruntime's own profile."""
    options = session_options(library=library)
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / f"profile-{library}")
    running = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    running.run(None, {"indices": np.arange(3)})
    events = json.loads(Path(running.end_profiling()).read_text())
    return {event["args"]["op_name"] for event in events if "op_name" in event.get("args", {})}


@pytest.mark.parametrize("normalize", [False, True])
def test_one_file_runs_by_the_function_or_by_the_library(tmp_path: Path, normalize: bool) -> None:
    gaussians = ordinary(3, 8, 3, 12, 1).bfloat16()
    distilled = DistilledSet(gaussians, torch.arange(3), 12, 12, mean=[0.1, 0.2, 0.3], std=[1.0, 0.5, 0.25])
    path = export_onnx(distilled, tmp_path / "decoder.onnx", normalize=normalize)
    without, with_library = (operators_run(path, tmp_path, library) for library in (False, True))
    assert "Scan" in without
    assert "GaussianSplat" not in without
    assert "GaussianSplat" in with_library
    assert "Scan" not in with_library


def run_typed(model: onnx.ModelProto, **inputs: Tensor) -> Tensor:
    fed = {}
    for name, tensor in inputs.items():
        if tensor.dtype == torch.bfloat16:
            bits = tensor.view(torch.int16).numpy()
            fed[name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, BFLOAT16)
        else:
            fed[name] = ort.OrtValue.ortvalue_from_numpy(tensor.numpy())
    (value,) = session(model, library=True).run_with_ort_values(None, fed)
    return torch.from_dlpack(value._ortvalue.to_dlpack())


@pytest.mark.parametrize("image_type", [FLOAT, HALF, BFLOAT16])
@pytest.mark.parametrize("gaussian_type", [FLOAT, HALF, BFLOAT16])
def test_every_type_in_and_out(gaussian_type: int, image_type: int) -> None:
    gaussians = ordinary(3, 12, 3, 20, 4).to(TORCH[gaussian_type])
    model = splat_model(3, 20, 21, None, 2, gaussian_type=gaussian_type, image_type=image_type, function=False)
    images = run_typed(model, gaussians=gaussians)
    exact = reference.splat(gaussians.double(), 20, 21)
    assert images.dtype == TORCH[image_type]
    # Half a step of the type for images of order one, beside the kernel's own 1e-3. Measured 3e-5, 5e-4, 4e-3.
    step = {FLOAT: 0.0, HALF: 1e-3, BFLOAT16: 8e-3}[image_type]
    torch.testing.assert_close(images.double(), exact, atol=1e-3 + step, rtol=step)


@pytest.mark.parametrize("gaussian_type", [FLOAT, HALF, BFLOAT16])
def test_gradients_from_every_type(gaussian_type: int) -> None:
    gaussians = ordinary(2, 9, 3, 16, 5).to(TORCH[gaussian_type])
    grad_images = torch.randn(2, 3, 16, 17, generator=torch.Generator().manual_seed(1))
    gradients = run_typed(
        gradient_model(3, (16, 17), 2, gaussian_type=gaussian_type), grad_images=grad_images, gaussians=gaussians
    )
    exact = gaussians.double().requires_grad_()
    (expected,) = torch.autograd.grad(reference.splat(exact, 16, 17), exact, grad_images.double())
    assert gradients.dtype == torch.float32
    error = torch.linalg.vector_norm(gradients.double() - expected) / torch.linalg.vector_norm(expected)
    # A sample at the threshold may flip; measured 4e-5.
    assert error < 2e-3


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_any_batch(batch: int) -> None:
    running = session(splat_model(1, 9, 8, None, 2, function=False), library=True)
    gaussians = ordinary(batch, 4, 1, 8, 6)
    (images,) = running.run(None, {"gaussians": gaussians.numpy()})
    assert images.shape == (batch, 1, 9, 8)
    exact = reference.splat(gaussians.double(), 9, 8)
    torch.testing.assert_close(torch.from_numpy(images).double(), exact, atol=1e-3, rtol=0)


def test_threads_change_nothing() -> None:
    gaussians = {"gaussians": ordinary(5, 60, 3, 48, 7).numpy()}
    grads = torch.randn(5, 3, 48, 48, generator=torch.Generator().manual_seed(2)).numpy()
    images, gradients = [], []
    for threads in (1, 2, 5):
        images.append(session(splat_model(3, 48, 48, None, 2), library=True, threads=threads).run(None, gaussians)[0])
        running = session(gradient_model(3, (48, 48), 2), library=True, threads=threads)
        gradients.append(running.run(None, {"grad_images": grads, **gaussians})[0])
    for other in (1, 2):
        assert np.array_equal(images[0], images[other])
        assert np.array_equal(gradients[0], gradients[other])


def test_the_shape_is_inferred() -> None:
    model = splat_model(3, 10, 11, None, 2, function=False)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert session(model, library=True).get_outputs()[0].shape == ["batch", 3, 10, 11]


def loosened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without any declared shape, so that onnxruntime lets every input through to the operator."""
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.ClearField("shape")
    return model


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"height": 0}, "gsdd::GaussianSplat: height must be 1 to 16384, got 0"),
        ({"width": 16385}, "width must be 1 to 16384, got 16385"),
        ({"native_width": -1}, "native_width must be 1 to 2147483647, got -1"),
        ({"supersample": 9}, "supersample must be 1 to 8, got 9"),
        ({"dtype": 11}, r"dtype must be 1 \(float32\), 10 \(float16\) or 16 \(bfloat16\), got 11"),
        ({"native_height": "tall"}, "the attribute native_height is missing or no integer"),
    ],
)
def test_a_bad_attribute_is_refused_when_the_model_is_loaded(attributes: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        session(loosened(splat_model(3, 8, 8, None, 2, function=False, **attributes)), library=True)


def test_a_missing_attribute_is_refused() -> None:
    model = gradient_model(3, (8, 8), 2)
    del model.graph.node[0].attribute[0]
    with pytest.raises(Exception, match=r"gsdd::GaussianSplatGrad: the attribute native_height is missing"):
        session(model, library=True)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 9), r"gaussians must be \[batch, count, 6 \+ channels\], got 2 dimensions"),
        ((1, 2, 6), "with 1 to 4 channels, got 6"),
        ((1, 2, 11), "with 1 to 4 channels, got 11"),
        ((1, 2, 0), "with 1 to 4 channels, got 0"),
    ],
)
def test_gaussians_of_another_shape_are_refused(shape: tuple[int, ...], message: str) -> None:
    running = session(loosened(splat_model(3, 8, 8, None, 2, function=False)), library=True)
    with pytest.raises(Exception, match=message):
        running.run(None, {"gaussians": np.zeros(shape, np.float32)})
    assert running.run(None, {"gaussians": np.zeros((1, 2, 9), np.float32)})[0].shape == (1, 3, 8, 8)


@pytest.mark.parametrize("shape", [(1, 3, 8), (2, 3, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8), (1, 3, 8, 16385)])
def test_image_gradients_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    running = session(loosened(gradient_model(3, (8, 8), 2)), library=True)
    with pytest.raises(Exception, match="grad_images"):
        running.run(None, {"grad_images": np.zeros(shape, np.float32), "gaussians": np.zeros((1, 2, 9), np.float32)})


def test_an_output_type_that_is_not_the_dtype_is_refused() -> None:
    model = splat_model(3, 8, 8, None, 2, image_type=HALF, function=False)
    model.graph.output[0].type.tensor_type.elem_type = FLOAT
    with pytest.raises(Exception, match=r"(?i)type"):
        session(model, library=True).run(None, {"gaussians": np.zeros((1, 2, 9), np.float32)})


def test_float64_is_refused_when_the_model_is_loaded() -> None:
    model = splat_model(3, 8, 8, None, 2, gaussian_type=onnx.TensorProto.DOUBLE, function=False)
    with pytest.raises(Exception, match=r"(?i)type"):
        session(model, library=True)


def test_many_sessions_share_one_library() -> None:
    gaussians = {"gaussians": ordinary(1, 4, 3, 8, 9).numpy()}
    sessions = [session(splat_model(3, 8, 8, None, 2, function=False), library=True) for _ in range(4)]
    first = sessions[0].run(None, gaussians)[0]
    del sessions[0]
    for running in sessions:
        assert np.array_equal(running.run(None, gaussians)[0], first)
