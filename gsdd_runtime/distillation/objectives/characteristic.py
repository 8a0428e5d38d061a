"""The distance of two characteristic functions: what NCFM minimises (Wang et al., arXiv 2502.20653).

The characteristic function of a random vector x at the frequency t is E[exp(i <t, x>)]: all that there is to know of
its distribution, and never above 1, so that its mean over samples is a steady estimate.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

# Below these, a phase difference and a squared distance count as these: the root has no derivative at 0.
PHASE_FLOOR = 1e-12
SQUARE_FLOOR = 1e-30


def unit_features(features: Tensor) -> Tensor:
    """Each row of ``features`` ``[N, F]`` at length 1, as the release takes them."""
    return functional.normalize(features, dim=1)


def characteristic_function(features: Tensor, frequencies: Tensor) -> Tensor:
    """The empirical characteristic function of samples.

    Args:
        features: floats ``[N, F]``, a sample a row.
        frequencies: floats ``[K, F]``.

    Returns:
        Real and imaginary part, ``[2, K]``.
    """
    return mean_characteristic_function([features], frequencies)


def mean_characteristic_function(parts: Iterable[Tensor], frequencies: Tensor) -> Tensor:
    """:func:`characteristic_function` of samples that come in parts ``[N_i, F]``, of which one at a time is needed."""
    total, count = torch.zeros(2, len(frequencies), dtype=frequencies.dtype, device=frequencies.device), 0
    for features in parts:
        angles = features @ frequencies.t()
        total = total + torch.stack([angles.cos().sum(dim=0), angles.sin().sum(dim=0)])
        count += len(features)
    return total / count


def characteristic_distance(
    real: Tensor, synthetic: Tensor, *, amplitude_weight: float = 0.5, phase_weight: float = 0.5
) -> Tensor:
    """The mean over frequencies of ``sqrt(w_a (|a| - |b|)^2 + w_p 2 (|a| |b| - Re(a conj b)))``.

    The first term is the difference of the amplitudes. The second is ``2 |a| |b| (1 - cos)`` of the angle between the
    two: the difference of the phases, with the amplitudes as factors. With both weights equal it is a multiple of
    ``|a - b|``.

    Args:
        real, synthetic: ``[2, K]``, as :func:`characteristic_function` gives them, at the same frequencies.
        amplitude_weight, phase_weight: 0 or above.

    Returns:
        A scalar, differentiable in both, also where the two are equal.
    """
    ours, theirs = _amplitude(synthetic), _amplitude(real)
    amplitudes = (theirs - ours).square()
    phases = (2 * (theirs * ours - (real * synthetic).sum(dim=0))).clamp_min(PHASE_FLOOR)
    return (amplitude_weight * amplitudes + phase_weight * phases).clamp_min(SQUARE_FLOOR).sqrt().mean()


def _amplitude(values: Tensor) -> Tensor:
    return values.square().sum(dim=0).clamp_min(SQUARE_FLOOR).sqrt()
