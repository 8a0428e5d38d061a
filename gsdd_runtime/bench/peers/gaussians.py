"""Our decoder: bfloat16 parameters, by index, through the native op; and its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.bench.points import Workload
from gsdd_runtime.splatting.op import splat


class Gaussians:
    name = "gsdd"

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._side = workload.point.side
        self.images = workload.point.batch
        self.bytes_per_image = float(workload.point.bytes_per_image)
        self.note = ""

    def decode(self) -> Tensor:
        return splat(self._workload.gaussians[self._workload.indices], self._side, self._side)


class GaussiansBackward:
    """The gradient alone, from a float32 image gradient to the parameters."""

    name = "gsdd backward"

    def __init__(self, workload: Workload) -> None:
        point = workload.point
        self._gaussians = workload.gaussians[workload.indices]
        self._side = point.side
        self._grad = torch.randn(
            point.batch, point.channels, point.side, point.side, generator=torch.Generator().manual_seed(0)
        )
        self.images = point.batch
        self.bytes_per_image = float(point.bytes_per_image)
        self.note = "gradient of all parameters; nothing is kept from the forward pass"

    def decode(self) -> Tensor:
        return torch.ops.gsdd.splat_backward(self._grad, self._gaussians, self._side, self._side)
