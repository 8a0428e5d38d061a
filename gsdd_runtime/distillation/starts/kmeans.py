"""The real images nearest to the centres of a class's clusters, by the features of a network (k-means)."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.distillation.starts.start import Source, Start
from gsdd_runtime.seeds import derived_generator

ROUNDS = 20


class KMeansStart(Start):
    """``init="kmeans"``."""

    chooses = True
    record = "kmeans"

    def chosen(self, index: int, source: Source) -> Tensor:
        members = source.real.members(index)
        generator = derived_generator(source.seed, "init", "kmeans", index)
        return members[clustered(source.features(members), source.gpc, generator).cpu()]


def clustered(features: Tensor, count: int, generator: torch.Generator, rounds: int = ROUNDS) -> Tensor:
    """Rows of ``features`` ``[M, F]`` nearest to the centres of ``count`` clusters, all different.

    Lloyd's algorithm from ``count`` different rows, drawn with the odds of k-means++ (Arthur and Vassilvitskii 2007).
    A cluster that loses its last row keeps its centre.

    Args:
        features: of one class.
        count: at most M.
        generator: on the CPU.
        rounds: of Lloyd's algorithm, at most.

    Returns:
        int64 ``[count]``, in the order of the clusters.
    """
    centres = features[_spread_out(features, count, generator)]
    owners = torch.full((len(features),), -1, device=features.device)
    for _ in range(rounds):
        nearest = _distances(features, centres).argmin(dim=1)
        if torch.equal(nearest, owners):
            break
        owners = nearest
        # By sorted rows, whose sums are the same every run on CUDA too.
        order = owners.argsort(stable=True)
        for index, part in enumerate(order.split(owners.bincount(minlength=count).tolist())):
            if len(part):
                centres[index] = features[part].mean(dim=0)
    distances = _distances(features, centres)
    chosen = []
    for index in range(count):
        best = int(distances[:, index].argmin())
        distances[best] = torch.inf
        chosen.append(best)
    return torch.tensor(chosen)


def _spread_out(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    chosen = [int(torch.randint(len(features), (1,), generator=generator))]
    nearest = _distances(features, features[chosen])[:, 0]
    for _ in range(count - 1):
        nearest[chosen[-1]] = 0
        odds = nearest.double().cpu()
        if not odds.any():
            # Every row is like one that was chosen: any other will do.
            odds = torch.ones(len(features), dtype=torch.double)
            odds[chosen] = 0
        chosen.append(int(torch.multinomial(odds, 1, generator=generator)))
        nearest = nearest.minimum(_distances(features, features[chosen[-1:]])[:, 0])
    return torch.tensor(chosen, device=features.device)


def _distances(features: Tensor, centres: Tensor) -> Tensor:
    """Squared distances ``[M, centres]``, not below 0."""
    products = features @ centres.T
    return (features.square().sum(1, keepdim=True) - 2 * products + centres.square().sum(1)).clamp_min_(0)
