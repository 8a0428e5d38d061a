"""The images themselves: uint8 arrays in memory, picked by index and made float32."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.bench.points import Workload


class Raw:
    name = "raw uint8 in memory"

    def __init__(self, workload: Workload) -> None:
        point = workload.point
        shape = (point.batch, point.channels, point.side, point.side)
        if workload.images is None:
            generator = torch.Generator().manual_seed(0)
            self._pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        else:
            self._pixels = workload.images[torch.arange(point.batch) % len(workload.images)].contiguous()
        self._indices = torch.randperm(point.batch, generator=torch.Generator().manual_seed(0))
        self.images = point.batch
        self.bytes_per_image = float(point.channels * point.side**2)
        self.note = f"{self.bytes_per_image / point.bytes_per_image:.0f} times the bytes"

    def decode(self) -> Tensor:
        return self._pixels[self._indices].to(torch.float32).mul_(1 / 255)
