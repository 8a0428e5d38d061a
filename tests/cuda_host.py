"""The CUDA kernels' own source, compiled for the CPU and called from Python.

``tests/native/cuda_host_simt.h`` stands in for the GPU's threads. What runs is the device's plan of blocks, its kernel
bodies and its math; what does not is nvcc's code generation and the hardware.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
_DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
_SOURCES = ["tests/native/cuda_host_splat.cpp", "tests/native/cuda_host_layers.cpp", "plugins/splat/status.cpp"]
# No contraction: nvcc fuses multiply-adds as it likes, this does not at all, and both must be within tolerance.
_FLAGS = ["-std=c++20", "-O2", "-fPIC", "-shared", "-fno-math-errno", "-ffp-contract=off", "-Wno-unknown-pragmas"]


def missing() -> str | None:
    """Why the library cannot be built here, or None."""
    return None if shutil.which(_compiler()) else f"no C++ compiler {_compiler()!r}"


def _compiler() -> str:
    return os.environ.get("CXX", "c++")


@cache
def library() -> ctypes.CDLL:
    """Builds the library once in a session and loads it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cuda_host.so")
        # Sanitizers, from tests/native/cuda_sanitize.sh.
        extra = os.environ.get("GSDD_CUDA_HOST_FLAGS", "").split()
        command = [_compiler(), *_FLAGS, *extra, "-I", "tests/native", "-o", str(path), *_SOURCES]
        subprocess.run(command, cwd=ROOT, check=True)
        return ctypes.CDLL(str(path))


def _address(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _long(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


def render(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None = None, supersample: int = 2,
    *, dtype: torch.dtype = torch.float32, channels_last: bool = False, mean: Tensor | None = None,
    std: Tensor | None = None, tiles: tuple[Tensor, Tensor] | None = None, order: int = 0,
) -> Tensor:  # fmt: skip
    """As ``gsdd.splat``; ``tiles`` are offsets and ids, int32; ``order`` is the order in which threads run."""
    gaussians = gaussians.contiguous()
    batch, count, parameters = gaussians.shape
    channels = parameters - 6
    native_height, native_width = native_size or (height, width)
    # Not zeros: what the kernel leaves out must show.
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.full((batch, channels, height, width), float("nan")).to(dtype).contiguous(memory_format=layout)
    inverse_std = None if std is None else std.float().reciprocal()
    offsets, ids = tiles if tiles is not None else (None, None)
    status = library().gsdd_host_forward(
        _address(gaussians), _DTYPES[gaussians.dtype], _long(batch), _long(count), channels, height, width,
        native_height, native_width, supersample, _address(images), _DTYPES[dtype], int(channels_last),
        _address(mean), _address(inverse_std), _address(offsets), _address(ids),
        _long(0 if ids is None else ids.numel()), order,
    )  # fmt: skip
    if status != 0:
        raise RuntimeError(f"the launcher's check says status {status}")
    return images


def gradient(
    grad_images: Tensor, gaussians: Tensor, native_size: tuple[int, int] | None = None, supersample: int = 2,
    *, scale: Tensor | None = None, order: int = 0,
) -> Tensor:  # fmt: skip
    """``[B, N, 6 + C]``: as ``torch.ops.gsdd.splat_backward``."""
    gaussians = gaussians.contiguous()
    channels_last = not grad_images.is_contiguous() and grad_images.is_contiguous(memory_format=torch.channels_last)
    grad_images = grad_images if channels_last else grad_images.contiguous()
    batch, count, parameters = gaussians.shape
    height, width = grad_images.shape[2:]
    native_height, native_width = native_size or (height, width)
    grad = torch.full((batch, count, parameters), float("nan"))
    status = library().gsdd_host_backward(
        _address(grad_images), _DTYPES[grad_images.dtype], int(channels_last), _address(scale),
        _address(gaussians), _DTYPES[gaussians.dtype], _long(batch), _long(count),
        parameters - 6, height, width, native_height, native_width, supersample, _address(grad), order,
    )  # fmt: skip
    if status != 0:
        raise RuntimeError(f"the launcher's check says status {status}")
    return grad


def conics(shapes: Tensor, scale_x: float, scale_y: float) -> tuple[Tensor, Tensor]:
    """``[N, 3]`` inverse covariances of ``[N, 5]`` shapes, in float64: the device's float path, and the double one."""
    shapes = shapes.float().contiguous()
    floats, doubles = torch.empty(2, shapes.shape[0], 3, dtype=torch.float64)
    library().gsdd_host_conics(
        _address(shapes), _long(shapes.shape[0]), ctypes.c_float(scale_x), ctypes.c_float(scale_y),
        _address(floats), _address(doubles),
    )  # fmt: skip
    return floats, doubles


def covers(gaussians: Tensor, height: int, width: int, origin: tuple[float, float], box: Tensor) -> Tensor:
    """``[N]`` int32 of ``[N, 6]`` shapes and opacities: 0 outside, 1 partly, 2 smoothly; box: x0, x1, y0, y1."""
    gaussians, box = gaussians.float().contiguous(), box.float().contiguous()
    found = torch.empty(gaussians.shape[0], dtype=torch.int32)
    library().gsdd_host_covers(
        _address(gaussians), _long(gaussians.shape[0]), height, width, ctypes.c_float(origin[0]),
        ctypes.c_float(origin[1]), _address(box), _address(found),
    )  # fmt: skip
    return found


def norm_relu_pool(x: Tensor, weight: Tensor, bias: Tensor, eps: float, *, order: int = 0) -> tuple[Tensor, ...]:
    """``[B, C, H / 2, W / 2]`` of ``x`` ``[B, C, H, W]``, its means and inverse deviations, ``[B, C]``."""
    batch, channels, height, width = x.shape
    # Not zeros: what the kernel leaves out must show.
    made = [
        torch.full(size, float("nan"))
        for size in ((batch, channels, height // 2, width // 2), (batch, channels), (batch, channels))
    ]
    library().gsdd_host_norm_relu_pool(
        *map(_address, (x, weight, bias)), *map(_long, x.shape), ctypes.c_float(eps), *map(_address, made), order
    )
    return tuple(made)


def norm_relu_pool_gradient(
    grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor, *, order: int = 0
) -> tuple[Tensor, ...]:
    """The gradient of ``x``, and each image's of weight and bias, ``[B, C]``."""
    made = [torch.full(size, float("nan")) for size in (x.shape, x.shape[:2], x.shape[:2])]
    library().gsdd_host_norm_relu_pool_grad(
        *map(_address, (grad, x, mean, inverse, weight, bias)), *map(_long, x.shape), *map(_address, made), order
    )
    return tuple(made)
