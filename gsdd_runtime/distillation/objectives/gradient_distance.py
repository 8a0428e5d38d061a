"""The loss of gradient matching (Zhao et al., arXiv 2006.05929, section 3.2, equation 10)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Keeps the cosine of a row without a gradient finite, as the published code has it.
EPSILON = 1e-6


def gradient_distance(synthetic: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """The sum over weight tensors, and over the outputs of each, of one minus the cosine of the two gradients.

    Args:
        synthetic, real: gradients of the same weights, ``[out, ...]``. Those of one dimension (biases, the scales of
            norms) count nothing.
    """
    pairs = zip(synthetic, real, strict=True)
    rows = [(ours.flatten(1), theirs.flatten(1)) for ours, theirs in pairs if ours.dim() > 1]
    return torch.stack([_one_minus_cosine(ours, theirs).sum() for ours, theirs in rows]).sum()


def _one_minus_cosine(ours: Tensor, theirs: Tensor) -> Tensor:
    return 1 - (ours * theirs).sum(dim=1) / (ours.norm(dim=1) * theirs.norm(dim=1) + EPSILON)
