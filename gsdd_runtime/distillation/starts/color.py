"""The mean colour of the data in every image: no real image is seen before matching."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.distillation.starts.start import Source, Start


class ColorStart(Start):
    """``init="color"``."""

    varied = False
    record = "color"

    def images(self, source: Source) -> Tensor:
        data = source.data
        color = torch.tensor(data.mean, device=source.device).view(1, -1, 1, 1)
        return color.expand(len(source.classes) * source.gpc, -1, data.height, data.width).contiguous()
