"""Real images whose mean stays near the class's mean, by the features of a network (Welling 2009)."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.distillation.starts.start import Source, Start


class HerdingStart(Start):
    """``init="herding"``."""

    chooses = True
    record = "herding"

    def chosen(self, index: int, source: Source) -> Tensor:
        members = source.real.members(index)
        return members[herded(source.features(members), source.gpc).cpu()]


def herded(features: Tensor, count: int) -> Tensor:
    """Rows of ``features`` ``[M, F]``, each the one that brings the mean of those chosen nearest to the mean of all.

    Args:
        features: of one class.
        count: at most M; every row is chosen once at most.

    Returns:
        int64 ``[count]``, in the order of the choice.
    """
    mean = features.mean(dim=0)
    total = torch.zeros_like(mean)
    free = torch.ones(len(features), dtype=torch.bool, device=features.device)
    squares = features.square().sum(dim=1)
    chosen = []
    for number in range(1, count + 1):
        # ||(total + f) / number - mean||^2, without what is the same for every row.
        distances = squares + 2 * features @ (total - number * mean)
        best = int(distances.masked_fill(~free, torch.inf).argmin())
        free[best] = False
        total += features[best]
        chosen.append(best)
    return torch.tensor(chosen)
