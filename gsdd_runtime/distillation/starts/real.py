"""Real images of each class, drawn at random."""

from __future__ import annotations

from torch import Tensor

from gsdd_runtime.distillation.starts.start import Source, Start


class RealStart(Start):
    """``init="real"``."""

    chooses = True
    record = "real"

    def chosen(self, index: int, source: Source) -> Tensor:
        return source.real.drawn(index, source.gpc, "init")
