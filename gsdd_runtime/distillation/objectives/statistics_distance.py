"""The loss of SRe2L's recovery (Yin, Xing and Shen, arXiv 2306.13092, equations 7 and 8): statistics of a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def statistics_distance(
    maps: Sequence[Tensor], statistics: Sequence[tuple[Tensor, Tensor]], first_weight: float = 1.0
) -> Tensor:
    """How far the feature maps of a batch are from the running statistics of a network's batch norms.

    For each norm the distance between the variances and that between the means, over the channels; summed over norms.

    Args:
        maps: what each norm takes, ``[B, C, H, W]``, in the order of the network.
        statistics: running mean and variance of each, ``[C]``.
        first_weight: of the first norm's distances.
    """
    total = torch.zeros((), dtype=maps[0].dtype, device=maps[0].device)
    for number, (found, (mean, variance)) in enumerate(zip(maps, statistics, strict=True)):
        means = found.mean(dim=(0, 2, 3))
        variances = found.var(dim=(0, 2, 3), correction=0)
        distance = (variances - variance).norm() + (means - mean).norm()
        total = total + (first_weight if number == 0 else 1.0) * distance
    return total
