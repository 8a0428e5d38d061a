"""What is distilled: Gaussians, or the plain pixels that they are compared with.

A new representation is one file here and one line in ``REPRESENTATIONS``.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from gsdd_runtime.distillation.representations.gaussian import GaussianRepresentation
from gsdd_runtime.distillation.representations.pixel import PixelRepresentation
from gsdd_runtime.sets.distilled_set import DistilledSet

REPRESENTATIONS = {"gaussians": GaussianRepresentation, "pixels": PixelRepresentation}


class Representation(Protocol):
    """Images held as parameters that an optimiser can move. One of the two seams of distilling."""

    def __len__(self) -> int:
        """The number of images."""

    def render(self, indices: Tensor | None = None) -> Tensor:
        """Images in pixel units, float32 ``[B, C, H, W]``, differentiable in the parameters.

        What is rendered is what will be stored: the parameters' bfloat16 rounding.

        Args:
            indices: int64 ``[B]``; all images if left out.
        """

    def parameters(self) -> dict[str, Tensor]:
        """The float32 masters by name: leaf tensors, the image first in every shape."""

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The masters as groups for a torch optimiser, each with its own share of the learning rate."""

    def buffers(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside the masters, float32, by name; changed in place."""

    def penalty(self) -> Tensor | None:
        """A term that the loss gains, or None."""

    def constrain(self) -> None:
        """Moves the masters back into their range; called after every optimiser step."""

    @property
    def nbytes(self) -> int:
        """Bytes of the images as they will be stored."""

    def plain_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        """As ``to_set``, without the work of coding: what can be checked before the first step."""

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        """The images as they will be stored, with ``labels`` int64 ``[M]``."""


__all__ = ["REPRESENTATIONS", "GaussianRepresentation", "PixelRepresentation", "Representation"]
