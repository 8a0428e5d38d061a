"""What is distilled: Gaussians, or the plain pixels that they are compared with; each also aware of its coding.

A new representation is one file here and one line in ``REPRESENTATIONS``.
"""

from __future__ import annotations

from gsdd_runtime.distillation.representations.coded import CodedGaussianRepresentation, CodedPixelRepresentation
from gsdd_runtime.distillation.representations.gaussian import GaussianRepresentation
from gsdd_runtime.distillation.representations.pixel import PixelRepresentation
from gsdd_runtime.distillation.representations.representation import Representation, Room, Storage

# By name and coding.
REPRESENTATIONS: dict[str, dict[str, type[Representation]]] = {
    "gaussians": {"none": GaussianRepresentation, "entropy": CodedGaussianRepresentation},
    "pixels": {"none": PixelRepresentation, "entropy": CodedPixelRepresentation},
}
CODINGS = ("none", "entropy")

__all__ = [
    "CODINGS",
    "REPRESENTATIONS",
    "GaussianRepresentation",
    "PixelRepresentation",
    "Representation",
    "Room",
    "Storage",
]
