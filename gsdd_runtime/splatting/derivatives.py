"""The derivatives of the two ops: one gradient, under autograd and torch.func alike; the rest is refused by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from gsdd_runtime.splatting.levels import call_below, call_in_forward, has_tangent, is_derived_from, record

ONCE = "gsdd.splat is differentiable once; for second derivatives use gsdd_runtime.reference.splat"
NO_FORWARD_MODE = (
    "gsdd.splat has no forward-mode derivative (jvp, jacfwd, hessian): use reverse mode (backward, grad, vjp, jacrev), "
    "or gsdd_runtime.reference.splat, which has both"
)


class Rendering(Function):
    """The gradient of every way to draw. What a subclass draws from are the ten arguments of ``gsdd::splat``."""

    @staticmethod
    def draw(*arguments: Any) -> Tensor:
        """The images, with no derivative at the level at work."""
        raise NotImplementedError

    @staticmethod
    def keep(ctx: Any, arguments: tuple[Any, ...]) -> None:
        """Notes what the gradient needs."""
        gaussians, _, _, native_height, native_width, supersample, _, inverse_std, _, _ = arguments
        ctx.save_for_backward(gaussians, inverse_std)
        ctx.options = (native_height, native_width, supersample)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        gaussians, inverse_std = ctx.saved_tensors
        # In the dtype and the layout that it has: the CUDA kernel reads any of them.
        scale = () if inverse_std is None else (inverse_std,)
        grad = torch.ops.gsdd.splat_backward.default(grads[0], gaussians, *ctx.options, *scale)
        return (grad.to(gaussians.dtype), *[None] * 9)


class Splat(Rendering):
    @staticmethod
    def draw(*arguments: Any) -> Tensor:
        return call_below(torch.ops.gsdd.splat.default, *arguments)

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        Rendering.keep(ctx, arguments)
        return call_in_forward(Splat.draw, *arguments)


class SplatBackward(Function):
    """The gradient as a function of its own, to say that it has none."""

    @staticmethod
    def draw(*arguments: Any) -> Tensor:
        return call_below(torch.ops.gsdd.splat_backward.default, *arguments)

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        return call_in_forward(SplatBackward.draw, *arguments)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError(ONCE)


def render(
    rendering: type[Rendering], gaussians: Tensor, height: int, width: int, native_height: int, native_width: int,
    supersample: int = 2, mean: Tensor | None = None, inverse_std: Tensor | None = None,
    dtype: torch.dtype | None = None, channels_last: bool = False,
) -> Tensor:  # fmt: skip
    """The autograd kernel of ``gsdd::splat``, by one way of drawing.

    Raises:
        NotImplementedError: the Gaussians carry a tangent.
    """
    if has_tangent(gaussians):
        raise NotImplementedError(NO_FORWARD_MODE)
    sizes = (height, width, native_height, native_width, supersample)
    if is_derived_from(mean) or is_derived_from(inverse_std):
        images = render(rendering, gaussians, *sizes, None, None, None, channels_last)
        return normalized(images, mean, inverse_std, dtype)
    arguments = (gaussians, *sizes, mean, inverse_std, dtype, channels_last)
    return record(rendering, *arguments) if is_derived_from(gaussians) else rendering.draw(*arguments)


def normalized(images: Tensor, mean: Tensor | None, inverse_std: Tensor | None, dtype: torch.dtype | None) -> Tensor:
    """What the kernel does behind its sums, in PyTorch: where mean and std are derived from, or differ in a vmap.

    Args:
        images: float32 ``[..., C, H, W]``.
        mean, inverse_std: float32 ``[C]``, or with dimensions in front that broadcast.
        dtype: of the result; float32 if left out.
    """
    channels = images.shape[-3]
    for name, numbers in (("mean", mean), ("inverse_std", inverse_std)):
        if numbers is not None and (numbers.shape[-1:] != (channels,) or numbers.dtype != torch.float32):
            raise RuntimeError(f"gsdd::splat: {name} must be float32 [{channels}]")
    if mean is not None:
        images = images - mean[..., None, None]
    if inverse_std is not None:
        images = images * inverse_std[..., None, None]
    return images.to(dtype or torch.float32)


def render_direct(gaussians: Tensor, *arguments: Any, **named: Any) -> Tensor:
    return render(Splat, gaussians, *arguments, **named)


def gather(
    grad_images: Tensor, gaussians: Tensor, native_height: int, native_width: int, supersample: int = 2,
    scale: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The autograd kernel of ``gsdd::splat_backward``.

    Raises:
        NotImplementedError: one of the tensors carries a tangent.
    """
    tensors = (grad_images, gaussians, scale)
    if any(has_tangent(tensor) for tensor in tensors):
        raise NotImplementedError(NO_FORWARD_MODE)
    arguments = (grad_images, gaussians, native_height, native_width, supersample, scale)
    if any(is_derived_from(tensor) for tensor in tensors):
        return record(SplatBackward, *arguments)
    return SplatBackward.draw(*arguments)


def render_many(
    info: Any, in_dims: tuple[Any, ...], gaussians: Tensor, height: int, width: int, native_height: int,
    native_width: int, supersample: int = 2, mean: Tensor | None = None, inverse_std: Tensor | None = None,
    dtype: torch.dtype | None = None, channels_last: bool = False,
) -> tuple[Tensor, int]:  # fmt: skip
    """The vmap rule of ``gsdd::splat``: one batch of all images; mean and std that differ come behind it."""
    # Arguments at their default may be missing from the end.
    gaussians_dim, mean_dim, std_dim = in_dims[0], *(*in_dims[6:], None, None)[:2]
    sizes = (height, width, native_height, native_width, supersample)
    differ = mean_dim is not None or std_dim is not None
    options = (None, None, None, channels_last) if differ else (mean, inverse_std, dtype, channels_last)
    if gaussians_dim is None:
        images = torch.ops.gsdd.splat.default(gaussians, *sizes, *options)[None]
    else:
        many = gaussians.movedim(gaussians_dim, 0)
        images = torch.ops.gsdd.splat.default(many.flatten(0, 1), *sizes, *options).unflatten(0, many.shape[:2])
    if differ:
        images = normalized(images, _in_front(mean, mean_dim), _in_front(inverse_std, std_dim), dtype)
    return images, 0


def _in_front(numbers: Tensor | None, dim: int | None) -> Tensor | None:
    """Numbers a channel, ``[V, 1, C]`` where they differ along ``dim``: to broadcast against ``[V, B, C, H, W]``."""
    return numbers if numbers is None or dim is None else numbers.movedim(dim, 0)[:, None]


def gather_many(
    info: Any, in_dims: tuple[Any, ...], grad_images: Tensor, gaussians: Tensor, native_height: int, native_width: int,
    supersample: int = 2, scale: Tensor | None = None,
) -> tuple[Tensor, int]:  # fmt: skip
    """The vmap rule of ``gsdd::splat_backward``."""
    size = info.batch_size
    scale_dim = (*in_dims[5:], None)[0]
    first, second = (
        tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        for tensor, dim in ((grad_images, in_dims[0]), (gaussians, in_dims[1]))
    )
    if scale is not None and scale_dim is not None:
        # One that differs is multiplied before.
        first, scale = first * scale.movedim(scale_dim, 0)[:, None, :, None, None], None
    options = (native_height, native_width, supersample, scale)
    grad = torch.ops.gsdd.splat_backward.default(first.flatten(0, 1), second.flatten(0, 1), *options)
    return grad.unflatten(0, second.shape[:2]), 0
