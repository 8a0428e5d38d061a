"""What Gaussians are fitted to: images in memory, or real ones that are made floats when they are asked for."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from gsdd_runtime.distillation.batches import RealImages


class Targets(Protocol):
    """Images in pixel units, ``[M, C, H, W]``. A float32 tensor is one of these."""

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int:
        """M."""

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Images at ``indices``, int64 ``[B]`` on the device: float32 ``[B, C, H, W]`` there."""


class RealTargets:
    """Training images, which stay the bytes that they are: 50,000 of 224 x 224 are 7.5 GB, and would be 30 as floats.

    Args:
        real: the training images.
        positions: of the images among them, int64 ``[M]``.
        device: where they are wanted.
    """

    def __init__(self, real: RealImages, positions: Tensor, device: torch.device) -> None:
        self._real = real
        self._positions = positions.cpu()
        self.device = device

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self._real.pixels(self._positions[indices.cpu()])
