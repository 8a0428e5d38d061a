"""Images as 2D Gaussians, trained aware of their bfloat16 storage."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.representations.rounding import round_to_bfloat16
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.gaussians import (
    BOUNDARY_MARGIN,
    CHOLESKY,
    COLOR,
    OPACITY,
    POSITION,
    check_gaussians,
)
from gsdd_runtime.splatting.op import splat

# Shares of the learning rate (docs/distilling.md tells how they were found). Positions span 2, factors pixels.
LEARNING_RATE_SHARES = {"position": 0.5, "cholesky": 3.0, "color": 0.5, "opacity": 0.5}

BFLOAT16_BYTES = 2


class GaussianRepresentation:
    """``M`` images of ``N`` Gaussians each (GSDD, arXiv 2509.26219, section 3).

    The four kinds of parameter are separate leaf tensors, so that each has its own learning rate.

    Args:
        gaussians: initial float32 masters, ``[M, N, 6 + C]``; the layout is that of the render specification.
        height, width: of the images, in pixels.
        boundary_weight: of the penalty that keeps the centres off the edge.

    Raises:
        InputError: gaussians of another shape.
    """

    def __init__(self, gaussians: Tensor, height: int, width: int, *, boundary_weight: float = 0.1) -> None:
        check_gaussians(gaussians)
        self.height = height
        self.width = width
        self.boundary_weight = boundary_weight
        masters = gaussians.detach().float()
        self._masters = {
            "position": masters[..., POSITION],
            "cholesky": masters[..., CHOLESKY],
            "color": masters[..., COLOR],
            "opacity": masters[..., OPACITY].unsqueeze(-1),
        }
        self._masters = {
            name: part.clone(memory_format=torch.contiguous_format).requires_grad_()
            for name, part in self._masters.items()
        }
        self.constrain()

    def __len__(self) -> int:
        return self._masters["position"].shape[0]

    @property
    def masters(self) -> Tensor:
        """All parameters as one float32 tensor ``[M, N, 6 + C]``."""
        return torch.cat(list(self._masters.values()), dim=-1)

    def render(self, indices: Tensor | None = None) -> Tensor:
        masters = self.masters if indices is None else self.masters.index_select(0, indices)
        return splat(round_to_bfloat16(masters), self.height, self.width)

    def parameters(self) -> dict[str, Tensor]:
        return dict(self._masters)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return [{"params": [part], "lr": lr * LEARNING_RATE_SHARES[name]} for name, part in self._masters.items()]

    def buffers(self) -> dict[str, Tensor]:
        return {}

    def penalty(self) -> Tensor | None:
        """``boundary_weight * mean(-log(1 - x^2) - log(1 - y^2))`` on the float32 masters (section 3.3)."""
        if self.boundary_weight == 0:
            return None
        # Two coordinates a Gaussian: the mean over Gaussians of their sum is twice the mean over coordinates.
        return -2 * self.boundary_weight * torch.log1p(-self._masters["position"].square()).mean()

    def constrain(self) -> None:
        """Clips the centres to ``[-1 + 4e-3, 1 - 4e-3]``."""
        with torch.no_grad():
            self._masters["position"].clamp_(-1 + BOUNDARY_MARGIN, 1 - BOUNDARY_MARGIN)

    @property
    def nbytes(self) -> int:
        return sum(part.numel() for part in self._masters.values()) * BFLOAT16_BYTES

    def plain_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        stored = self.masters.detach().bfloat16().cpu()
        return DistilledSet(stored, labels, self.height, self.width, **metadata)

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        return self.plain_set(labels, **metadata)
