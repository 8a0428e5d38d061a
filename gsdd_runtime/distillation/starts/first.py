"""The first images of each class, as GSDD's code takes them."""

from __future__ import annotations

from torch import Tensor

from gsdd_runtime.distillation.starts.start import Source, Start


class FirstStart(Start):
    """``init="first"``."""

    chooses = True
    record = "first"

    def chosen(self, index: int, source: Source) -> Tensor:
        return source.real.members(index)[: source.gpc]
