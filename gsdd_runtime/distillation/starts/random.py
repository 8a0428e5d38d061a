"""Scattered Gaussians, or noise for pixels."""

from __future__ import annotations

from torch import Tensor

from gsdd_runtime.distillation.starts.start import Source, Start


class RandomStart(Start):
    """``init="random"``."""

    fitted = False
    record = "random"

    def images(self, source: Source) -> Tensor | None:
        return None
