"""The loss of distribution matching (Zhao and Bilen, arXiv 2110.04181, equation 5)."""

from __future__ import annotations

from torch import Tensor


def mean_distance(synthetic: Tensor, real: Tensor) -> Tensor:
    """The squared distance between mean embeddings, summed over classes.

    Args:
        synthetic, real: ``[classes, features]``, the mean embedding of each class's images.
    """
    return (synthetic - real).square().sum()
