"""What is distilled: Gaussians, or the plain pixels that they are compared with; each also aware of its coding.

A new representation is one file here and one line in ``REPRESENTATIONS``.
"""

from __future__ import annotations

from typing import Any

from gsdd_runtime.distillation.representations.coded_gaussian import CodedGaussianRepresentation
from gsdd_runtime.distillation.representations.coded_pixel import CodedPixelRepresentation
from gsdd_runtime.distillation.representations.gaussian import GaussianRepresentation
from gsdd_runtime.distillation.representations.pixel import PixelRepresentation
from gsdd_runtime.distillation.representations.representation import Representation, Room, Storage

# By name and coding.
REPRESENTATIONS: dict[str, dict[str, type[Representation]]] = {
    "gaussians": {"none": GaussianRepresentation, "entropy": CodedGaussianRepresentation},
    "pixels": {"none": PixelRepresentation, "entropy": CodedPixelRepresentation},
}
CODINGS = ("none", "entropy")
# Names for pixels in forms that Gaussians are fairly compared with, and the options that each stands for.
FORMS: dict[str, dict[str, Any]] = {
    "pixels8": {"representation": "pixels", "coding": "entropy", "pixel_bits": 8},
    "pixels2": {"representation": "pixels", "coding": "entropy", "pixel_bits": 2},
    "downscaled": {"representation": "pixels", "downscale": 2},
}

__all__ = [
    "CODINGS",
    "FORMS",
    "REPRESENTATIONS",
    "GaussianRepresentation",
    "PixelRepresentation",
    "Representation",
    "Room",
    "Storage",
]
