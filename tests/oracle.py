"""What the float64 reference says of each awkward input, and where a float32 renderer may differ from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from awkward import CASES, Inputs
from torch import Tensor

from gsdd_runtime import reference
from gsdd_runtime.splatting.gaussians import ALPHA_THRESHOLD, COLOR

# A sample whose o * exp(-sigma) is within this of 1/255, relative, may be drawn or dropped (render
# specification, "What may differ"): float32 knows an alpha to about 1e-4 of itself.
THRESHOLD_MARGIN = 5e-4
# Samples of one part, as in the reference.
_PART = 1 << 21


@dataclass(frozen=True)
class Oracle:
    """All in float64 but ``grad_images``, which is float32 and zero wherever a sample may flip."""

    inputs: Inputs
    images: Tensor
    flips: Tensor  # [B, C, H, W]: how far the samples near the threshold may move each number
    grad_images: Tensor
    gradients: Tensor


@cache
def oracle(name: str) -> Oracle:
    """The reference's answers for one case; computed once for all renderers."""
    inputs = CASES[name]()
    gaussians = inputs.gaussians.double().contiguous().requires_grad_()
    images = reference.splat(
        gaussians, inputs.height, inputs.width, native_size=inputs.native_size, supersample=inputs.supersample
    )
    flips = flip_allowance(inputs)
    generator = torch.Generator().manual_seed(len(name))
    grad_images = torch.randn(images.shape, generator=generator).masked_fill(flips > 0, 0.0)
    if images.requires_grad:
        (gradients,) = torch.autograd.grad(images, gaussians, grad_images.double())
    else:
        gradients = torch.zeros_like(gaussians)
    return Oracle(inputs, images.detach(), flips, grad_images, gradients)


def flip_allowance(inputs: Inputs, margin: float = THRESHOLD_MARGIN) -> Tensor:
    """``[B, C, H, W]``: the sum of ``|colour| / 255 / S^2`` over the samples near the threshold."""
    gaussians = inputs.gaussians.double().contiguous()
    batch, count, parameters = gaussians.shape
    height, width, samples = inputs.height, inputs.width, inputs.supersample
    native_height, native_width = inputs.native_size or (height, width)
    scale = torch.tensor([width / native_width, height / native_height], dtype=torch.float64)
    size = torch.tensor([width, height], dtype=torch.float64)
    allowance = torch.zeros(batch, parameters - 6, height, width, dtype=torch.float64)
    points = height * width * samples**2
    per_image = max(1, min(count, _PART // points))
    images = max(1, _PART // (points * per_image))
    for image in range(0, batch, images):
        for first in range(0, count, per_image):
            part = gaussians[image : image + images, first : first + per_image]
            alpha = reference.sample_alphas(
                part, scale, size, 0, height * samples, width * samples, samples, clipped=False
            )
            near = ((alpha / ALPHA_THRESHOLD - 1).abs() < margin).double()
            near = near.view(*part.shape[:2], height, samples, width, samples).mean(dim=(3, 5))
            color = part[..., COLOR].abs().nan_to_num(0.0, 0.0, 0.0)
            allowance[image : image + images] += torch.einsum("bnyx,bnc->bcyx", near, color) * ALPHA_THRESHOLD
    return allowance * (1 + margin)
