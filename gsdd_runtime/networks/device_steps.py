"""Whether a CUDA device has the steps of networks that ``plugins/layers/cuda`` makes faster, and does them right."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsdd_runtime.networks.native_steps import have_native_steps
from gsdd_runtime.progress import say_once

# Of a small batch against PyTorch's own layers, in parts of its largest number: rounding is a hundredth of it.
_TOLERANCE = 1e-3
_SIZE = (3, 5, 6, 10)
_known: dict[int, bool] = {}


def have_device_steps(device: torch.device) -> bool:
    """Whether ``torch.ops.gsdd.norm_relu_pool_planes`` is there for ``device`` and agrees with PyTorch's own layers.

    That is tried once a device and process, not while a CUDA graph is captured.
    """
    if device.type != "cuda":
        return False
    index = torch.cuda.current_device() if device.index is None else device.index
    if index not in _known:
        if torch.cuda.is_current_stream_capturing():
            return False
        there = have_native_steps() and hasattr(torch.ops.gsdd, "norm_relu_pool_planes")
        _known[index] = there and _agree(torch.device("cuda", index))
    return _known[index]


def _agree(device: torch.device) -> bool:
    try:
        # Whatever the caller is about: gradients are wanted here.
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
            off = difference(device)
    except RuntimeError as error:
        say_once(f"the faster steps of networks do not start here, and PyTorch's own are taken: {_line(error)}")
        return False
    if not off <= _TOLERANCE:
        say_once(f"the faster steps of networks are {off:.1e} off PyTorch's own here, which are taken instead")
        return False
    return True


def difference(device: torch.device) -> float:
    """How far norm, ReLU and pool in one, and their gradients, are from the three layers, in parts of the largest.

    Raises:
        RuntimeError: the device refuses them.
    """
    from gsdd_runtime.networks.norm_relu_pool import norm_relu_pool_planes

    generator = torch.Generator().manual_seed(0)
    norm = nn.GroupNorm(_SIZE[1], _SIZE[1])
    with torch.no_grad():
        for weight in norm.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    norm = norm.to(device)
    x = torch.randn(_SIZE, generator=generator).to(device)
    grad = torch.randn(_SIZE[0], _SIZE[1], _SIZE[2] // 2, _SIZE[3] // 2, generator=generator).to(device)

    def found(pooled: Tensor, leaf: Tensor) -> list[Tensor]:
        return [pooled.detach(), *torch.autograd.grad(pooled, [leaf, norm.weight, norm.bias], grad)]

    leaves = [x.clone().requires_grad_() for _ in range(2)]
    ours = found(norm_relu_pool_planes(leaves[0], norm), leaves[0])
    theirs = found(nn.functional.avg_pool2d(norm(leaves[1]).relu(), 2), leaves[1])
    worst = [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, theirs, strict=True)]
    return max(worst, key=lambda one: (one != one, one))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
