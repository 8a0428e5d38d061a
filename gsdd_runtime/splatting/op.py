"""The op: ``gsdd.splat`` over the native library, with its fake kernels and its gradient.

Importing this module registers ``torch.ops.gsdd.splat`` and ``torch.ops.gsdd.splat_backward`` where the
library is built; without it, calling raises LibraryNotBuiltError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError, LibraryNotBuiltError
from gsdd_runtime.splatting import tiles
from gsdd_runtime.splatting.gaussians import KERNEL_DTYPES, SHAPE_PARAMETERS, check_gaussians, check_sizes
from gsdd_runtime.splatting.native import load_torch_library


def splat(
    gaussians: Tensor,
    height: int,
    width: int,
    *,
    native_size: tuple[int, int] | None = None,
    supersample: int = 2,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
    mean: Tensor | None = None,
    std: Tensor | None = None,
) -> Tensor:
    """Renders a batch of Gaussian images with the native kernel (render specification, version 1).

    Args:
        gaussians: ``[B, N, 6 + C]``, float32, float16 or bfloat16: x, y in [-1, 1]; the Cholesky factor
            l11, l21, l22 in pixels of the native size; C colours; opacity.
        height, width: of the output, in pixels, 1 to 16384.
        native_size: ``(height, width)`` that the factors are measured in; the output's size if left out.
        supersample: samples per pixel and axis, 1 to 8.
        dtype: of the output: float32 (the default), float16 or bfloat16. Sums are float32 in any case.
        channels_last: lay the output out channels last (its shape stays ``[B, C, H, W]``).
        mean, std: ``[C]``: the output is ``(image - mean) / std``.

    Returns:
        ``[B, C, H, W]``. Differentiable once in ``gaussians``; the gradient is computed in float32.

    Raises:
        InputError: gaussians of another shape or dtype, or a size out of range.
        LibraryNotBuiltError: the native library is not installed.
        RuntimeError: the kernel refuses the rest: a dtype of the output, mean or std of another length.
    """
    check_gaussians(gaussians)
    if gaussians.dtype not in KERNEL_DTYPES:
        raise InputError(
            f"gaussians must be float32, float16 or bfloat16, got {gaussians.dtype}: convert them, "
            "or call gsdd_runtime.reference.splat, which takes any floating dtype"
        )
    native_height, native_width = check_sizes(height, width, native_size, supersample)
    if not _registered:
        load_torch_library()
    if mean is not None:
        mean = mean.to(gaussians.device, torch.float32)
    inverse_std = None if std is None else std.to(gaussians.device, torch.float32).reciprocal()
    render: Callable[..., Tensor] = torch.ops.gsdd.splat
    if gaussians.is_cuda and tiles.pays_here(gaussians, height, width):
        render = tiles.splat_tiled
    return render(
        gaussians, height, width, native_height, native_width, supersample,
        mean, inverse_std, dtype, channels_last,
    )  # fmt: skip


def _fake_splat(
    gaussians: Tensor,
    height: int,
    width: int,
    native_height: int,
    native_width: int,
    supersample: int = 2,
    mean: Tensor | None = None,
    inverse_std: Tensor | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
) -> Tensor:
    torch._check(gaussians.dim() == 3, lambda: "gsdd::splat: gaussians must be [batch, count, 6 + channels]")
    channels = gaussians.shape[2] - SHAPE_PARAMETERS
    return torch.empty(
        (gaussians.shape[0], channels, height, width),
        dtype=dtype or torch.float32,
        device=gaussians.device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )


def _fake_splat_backward(
    grad_images: Tensor, gaussians: Tensor, native_height: int, native_width: int, supersample: int = 2
) -> Tensor:
    return torch.empty(gaussians.shape, dtype=torch.float32, device=gaussians.device)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    gaussians, _, _, native_height, native_width, supersample, _, inverse_std, _, _ = inputs
    ctx.save_for_backward(gaussians, inverse_std)
    ctx.options = (native_height, native_width, supersample)


def _backward(ctx: Any, grad_images: Tensor) -> tuple[Tensor | None, ...]:
    gaussians, inverse_std = ctx.saved_tensors
    grad_images = grad_images.float()
    if inverse_std is not None:
        grad_images = grad_images * inverse_std.view(1, -1, 1, 1)
    grad = torch.ops.gsdd.splat_backward(grad_images.contiguous(), gaussians, *ctx.options)
    return (grad.to(gaussians.dtype), *[None] * 9)


def _backward_of_backward(ctx: Any, grad: Tensor) -> None:
    raise NotImplementedError(
        "gsdd.splat is differentiable once; for second derivatives use gsdd_runtime.reference.splat"
    )


def _register() -> bool:
    try:
        load_torch_library()
    except LibraryNotBuiltError:
        return False
    torch.library.register_fake("gsdd::splat", _fake_splat)
    torch.library.register_fake("gsdd::splat_backward", _fake_splat_backward)
    torch.library.register_autograd("gsdd::splat", _backward, setup_context=_setup_context)
    torch.library.register_autograd("gsdd::splat_backward", _backward_of_backward)
    return True


_registered = _register()
