"""Where Gaussians start that will be fitted to an image: dense along its edges, and of its colors.

From places spread evenly a fit needs more steps, and in an image that is mostly background it leaves many Gaussians
there for good: by 400 steps, fits from edges are 2.2 dB better on Fashion-MNIST and 1.0 dB on CIFAR-10, 22 Gaussians
each (docs/distilling.md, "Fitting alone").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.distillation.targets import Targets
from gsdd_runtime.splatting.gaussians import BOUNDARY_MARGIN, CHOLESKY, CHOLESKY_BIAS, COLOR, POSITION

EDGES, UNIFORM = "edges", "uniform"
PLACEMENTS = (EDGES, UNIFORM)

# How much of the density is the same everywhere; what widths are multiplied by; the share of a place's color.
_EVEN = 0.2
_NARROWER = 0.5
_COLOR_SHARE = 0.6
# Numbers of each step between, 32 MB of float64, for the images that are looked at together.
VALUES_AT_ONCE = 1 << 22


def placed_at_edges(gaussians: Tensor, images: Targets) -> Tensor:
    """Gaussians spread at random, moved to where their images have edges, narrower and of the color there.

    All on the CPU, by float64 sums, so that every device starts alike; each image by itself. One without edges leaves
    its Gaussians as they are.

    Args:
        gaussians: as :func:`gsdd_runtime.splatting.gaussians.initial_gaussians` draws them, ``[M, N, 6 + C]``.
        images: ``M`` of ``[C, H, W]``, in pixel units.

    Returns:
        Float32 ``[M, N, 6 + C]``, on the CPU.
    """
    placed = gaussians.clone()
    if len(gaussians) == 0:
        return placed
    first = images[torch.zeros(1, dtype=torch.long, device=images.device)][0]
    # Each Gaussian finds its column in a row of its own.
    values = max(first.numel(), gaussians.shape[1] * first.shape[2])
    for rows in torch.arange(len(gaussians)).split(max(1, VALUES_AT_ONCE // values)):
        placed[rows] = _placed(gaussians[rows], images[rows.to(images.device)].cpu())
    return placed


def _placed(gaussians: Tensor, images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    density = edge_density(images)
    # The places that were drawn evenly are places in the distribution, a row first, then a column in it.
    edge = 1 - 2 * BOUNDARY_MARGIN
    drawn = ((gaussians[..., POSITION].double() / edge + 1) / 2).clamp(0, 1)
    y = inverse_of_sums(density.sum(dim=2), drawn[..., 1])
    row = y.long().clamp_max(height - 1)
    image = torch.arange(len(images)).unsqueeze(1)
    x = inverse_of_sums(density[image, row], drawn[..., :1]).squeeze(-1)
    column = x.long().clamp_max(width - 1)

    placed = gaussians.clone()
    placed[..., POSITION] = ((torch.stack((x / width, y / height), dim=-1) * 2 - 1) * edge).float()
    bias = torch.tensor([CHOLESKY_BIAS, 0.0, CHOLESKY_BIAS])
    placed[..., CHOLESKY] = (gaussians[..., CHOLESKY] + bias) * _NARROWER - bias
    placed[..., COLOR] = _COLOR_SHARE * images.permute(0, 2, 3, 1)[image, row, column]
    even = (density == density[:, :1, :1]).flatten(1).all(dim=1)
    return torch.where(even.view(-1, 1, 1), gaussians, placed)


def edge_density(images: Tensor) -> Tensor:
    """How often a Gaussian starts at each pixel, float64 ``[M, H, W]``, of mean 1 where an image has edges at all.

    Central differences over all channels, and a part that is the same everywhere.
    """
    padded = functional.pad(images.double(), (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    slope = (across.square() + down.square()).sum(dim=1).sqrt()
    mean = slope.mean(dim=(1, 2), keepdim=True)
    return torch.where(mean > 0, (1 - _EVEN) * slope / mean, 0) + _EVEN


def inverse_of_sums(density: Tensor, shares: Tensor) -> Tensor:
    """Where the running sum of ``density`` comes to ``shares`` of the whole, float64, from 0 to ``n``.

    Args:
        density: positive, float64 ``[..., n]``.
        shares: from 0 to 1, float64 ``[..., k]``.
    """
    sums = density.cumsum(dim=-1)
    wanted = shares * sums[..., -1:]
    index = torch.searchsorted(sums, wanted.contiguous()).clamp_max(density.shape[-1] - 1)
    there = density.gather(-1, index)
    before = sums.gather(-1, index) - there
    return index + ((wanted - before) / there).clamp(0, 1)
