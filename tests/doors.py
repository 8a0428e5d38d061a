"""Every way to render: one entry a door. ``test_doors.py`` holds each to the reference on the awkward table.

To add a door, add a :class:`Door` to ``DOORS``. Its functions take and return torch tensors on the CPU:

- ``render(gaussians, height, width, native_size, supersample)``: float32 ``[B, N, 6 + C]``, not always
  contiguous, to ``[B, C, H, W]``;
- ``gradient(grad_images, gaussians, native_size, supersample)``: to ``[B, N, 6 + C]``; None if it has none;
- ``missing()``: why it cannot run here, or None. A door that needs hardware carries its marker in ``marks``
  instead: ``("cuda",)`` is skipped, or failed, by conftest where there is no device;
- ``excluded``: the cases that it is known not to render, each with its reason.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec

import cuda_host
import torch
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime import reference
from gsdd_runtime.errors import LibraryNotBuiltError

Render = Callable[[Tensor, int, int, "tuple[int, int] | None", int], Tensor]
Gradient = Callable[[Tensor, Tensor, "tuple[int, int] | None", int], Tensor]

# For doors that compute everything in float32, whose largest number is 3.4e38.
FLOAT32_RANGE = {
    "enormous": "the determinant of the covariance leaves the range of float32",
    "far-off-canvas": "the square of the distance leaves the range of float32",
}


@dataclass(frozen=True)
class Door:
    name: str
    render: Render
    gradient: Gradient | None = None
    missing: Callable[[], str | None] = lambda: None
    marks: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    image_absolute: float = 1e-3
    gradient_relative: float = 1e-3


def _by_autograd(render: Render) -> Gradient:
    def gradient(
        grad_images: Tensor, gaussians: Tensor, native_size: tuple[int, int] | None, supersample: int
    ) -> Tensor:
        gaussians = gaussians.detach().requires_grad_()
        height, width = grad_images.shape[2:]
        images = render(gaussians, height, width, native_size, supersample)
        if not images.requires_grad:
            return torch.zeros_like(gaussians)
        return torch.autograd.grad(images, gaussians, grad_images)[0]

    return gradient


def _reference(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    return reference.splat(gaussians, height, width, native_size=native_size, supersample=supersample)


def _native(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    return gsdd.splat(gaussians, height, width, native_size=native_size, supersample=supersample)


def _native_missing() -> str | None:
    try:
        gsdd.plugin_library("torch")
    except LibraryNotBuiltError as error:
        return str(error)
    return None


@lru_cache(maxsize=1)
def _script() -> Callable[..., Tensor]:
    """The operator as TorchScript calls it, saved and loaded."""
    # Loads the library.
    import gsdd_runtime.splatting.op  # noqa: F401

    def render(gaussians: Tensor, height: int, width: int, native: list[int], supersample: int) -> Tensor:
        return torch.ops.gsdd.splat(gaussians, height, width, native[0], native[1], supersample)

    stored = io.BytesIO()
    torch.jit.save(torch.jit.script(render), stored)
    stored.seek(0)
    return torch.jit.load(stored)


def _torchscript(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    return _script()(gaussians, height, width, list(native_size or (height, width)), supersample)


def _onnx_missing() -> str | None:
    needed = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    return f"{', '.join(needed)} not installed: pip install 'gsdd-rt[export,onnxruntime]'" if needed else None


def _onnx_function(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    from onnx_models import render_with_onnxruntime

    return render_with_onnxruntime(gaussians, height, width, native_size, supersample, library=False)


def _onnx_inlined(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    from onnx_models import render_inlined

    return render_inlined(gaussians, height, width, native_size, supersample)


def _onnx_library_missing() -> str | None:
    reason = _onnx_missing()
    try:
        gsdd.plugin_library("onnxruntime")
    except LibraryNotBuiltError as error:
        return reason or str(error)
    return reason


def _onnx_library(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    from onnx_models import render_with_onnxruntime

    return render_with_onnxruntime(gaussians, height, width, native_size, supersample, library=True)


def _onnx_library_gradient(
    grad_images: Tensor, gaussians: Tensor, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    from onnx_models import gradient_with_onnxruntime

    return gradient_with_onnxruntime(grad_images, gaussians, native_size, supersample, library=True)


def _onnx_function_gradient(
    grad_images: Tensor, gaussians: Tensor, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    from onnx_models import gradient_with_onnxruntime

    return gradient_with_onnxruntime(grad_images, gaussians, native_size, supersample, library=False)


def _onnx_evaluator(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    from onnx_models import render_with_reference_evaluator

    return render_with_reference_evaluator(gaussians, height, width, native_size, supersample)


def _dali(device: str) -> Render:
    def render(
        gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int
    ) -> Tensor:
        from dali_pipelines import render_with_dali

        return render_with_dali(gaussians, height, width, native_size, supersample, device=device)

    return render


def _cuda(gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int) -> Tensor:
    return _native(gaussians.cuda(), height, width, native_size, supersample).cpu()


def _cuda_gradient(
    grad_images: Tensor, gaussians: Tensor, native_size: tuple[int, int] | None, supersample: int
) -> Tensor:
    return _by_autograd(_native)(grad_images.cuda(), gaussians.cuda(), native_size, supersample).cpu()


_NO_EMPTY_BATCH = {"no-images": "DALI has no empty batches"}
_SLOW_ON_HOST = "the emulated threads need 10 s for it; test_cuda_host.py draws a part of it"

DOORS: list[Door] = [
    Door("reference-float32", _reference, _by_autograd(_reference), excluded=FLOAT32_RANGE),
    Door("native", _native, _by_autograd(_native), missing=_native_missing),
    Door("cuda", _cuda, _cuda_gradient, missing=_native_missing, marks=("cuda",)),
    # The same kernels' source, compiled for the CPU. Worst: 1.3e-5, where one evaluation serves a pixel.
    Door(
        "cuda-source-on-host",
        cuda_host.render,
        cuda_host.gradient,
        missing=cuda_host.missing,
        excluded=dict.fromkeys(["many-gaussians", "many-images"], _SLOW_ON_HOST),
        image_absolute=1e-4,
    ),
    Door("torchscript", _torchscript, _by_autograd(_torchscript), missing=_native_missing),
    # Worst of the table: 1.3e-6, along a needle.
    Door("onnx-function", _onnx_function, _onnx_function_gradient, missing=_onnx_missing, image_absolute=1e-5),
    # Worst: 1.2e-6, along a needle.
    Door("onnx-inlined", _onnx_inlined, missing=_onnx_missing, image_absolute=1e-5),
    Door("onnxruntime-library", _onnx_library, _onnx_library_gradient, missing=_onnx_library_missing),
    Door("dali-cpu", _dali("cpu"), marks=("dali",), excluded=_NO_EMPTY_BATCH),
    Door("dali-gpu", _dali("gpu"), marks=("dali", "cuda"), excluded=_NO_EMPTY_BATCH),
    Door("onnx-reference-evaluator", _onnx_evaluator, missing=_onnx_missing, image_absolute=1e-5),
]
