"""What the rendered images are matched by. A new method is one file here and one line in ``OBJECTIVES``."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from gsdd_runtime.distillation.batches import ClassBatches
from gsdd_runtime.distillation.objectives.dm import DistributionMatching

OBJECTIVES = {"dm": DistributionMatching}


class Objective(Protocol):
    """Takes real batches and rendered images and returns a loss. One of the two seams of distilling."""

    def begin(self, step: int) -> None:
        """Draws what a step needs, for example a network, from the seed and ``step`` alone."""

    def loss(self, real: ClassBatches, synthetic: ClassBatches) -> Tensor:
        """A scalar, differentiable in ``synthetic``. A step may take several passes, whose losses add up.

        Args:
            real: normalised real images of some classes.
            synthetic: normalised rendered images of the same classes.
        """


__all__ = ["OBJECTIVES", "DistributionMatching", "Objective"]
