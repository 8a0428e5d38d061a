"""The op: ``gsdd.splat`` over the native library, with its fake kernels; derivatives.py has its gradient.

Importing this module registers ``torch.ops.gsdd.splat`` and ``torch.ops.gsdd.splat_backward`` where the
library is built; without it, calling raises LibraryNotBuiltError.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError, LibraryNotBuiltError
from gsdd_runtime.splatting import derivatives, tiles
from gsdd_runtime.splatting.gaussians import KERNEL_DTYPES, SHAPE_PARAMETERS, check_gaussians, check_sizes
from gsdd_runtime.splatting.levels import Below, needs_no_levels
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
    method: tiles.Method | None = None,
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
        method: how CUDA tensors are drawn: ``"auto"``, ``"direct"``, or ``"tiled"`` by gsplat's tiles
            (:func:`gsdd_runtime.splatting.tiles.choose`); None asks the environment variable ``GSDD_CUDA_METHOD``.

    Returns:
        ``[B, C, H, W]``. Differentiable once, in ``gaussians``, ``mean`` and ``std``, by autograd and by ``grad``,
        ``vjp``, ``jacrev`` and ``vmap`` of torch.func; the gradient is computed in float32.

    Raises:
        InputError: gaussians of another shape or dtype, or a size out of range.
        LibraryNotBuiltError: the native library is not installed.
        NotImplementedError: a forward-mode derivative (``jvp``, ``jacfwd``, ``hessian``) is asked for.
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
    arguments = (
        gaussians, height, width, native_height, native_width, supersample, mean, inverse_std, dtype, channels_last,
    )  # fmt: skip
    if gaussians.is_cuda and tiles.pays_here(gaussians, height, width, method):
        return tiles.splat_tiled(*arguments)
    op = torch.ops.gsdd.splat.default
    if torch.compiler.is_compiling() or not needs_no_levels(gaussians, mean, inverse_std):
        return cast(Tensor, op(*arguments))
    # Past the autograd kernel, which is Python and costs half as much as a small batch.
    with Below():
        return cast(Tensor, op(*arguments))


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
    grad_images: Tensor, gaussians: Tensor, native_height: int, native_width: int, supersample: int = 2,
    scale: Tensor | None = None,
) -> Tensor:  # fmt: skip
    return torch.empty(gaussians.shape, dtype=torch.float32, device=gaussians.device)


def _register() -> bool:
    try:
        load_torch_library()
    except LibraryNotBuiltError:
        return False
    torch.library.register_fake("gsdd::splat", _fake_splat)
    torch.library.register_fake("gsdd::splat_backward", _fake_splat_backward)
    for name, kernel, many in (
        ("splat", derivatives.render_direct, derivatives.render_many),
        ("splat_backward", derivatives.gather, derivatives.gather_many),
    ):
        _library.impl(name, kernel, "Autograd")
        torch.library.register_vmap(f"gsdd::{name}", many)
    return True


# Its registrations last as long as it.
_library = torch.library.Library("gsdd", "IMPL")
_registered = _register()
