"""Images as plain pixels: the baseline that Gaussians are compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.representations.rounding import round_to_bfloat16
from gsdd_runtime.distillation.representations.scaling import scale_up
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet

BFLOAT16_BYTES = 2


class PixelRepresentation:
    """``M`` images of pixels, stored as bfloat16 like the Gaussians, and trained aware of it in the same way.

    Args:
        pixels: initial float32 masters in pixel units, ``[M, C, H, W]``.
        downscale: whole factor that the rendered images are larger by.

    Raises:
        InputError: pixels of another rank.
    """

    def __init__(self, pixels: Tensor, *, downscale: int = 1) -> None:
        if pixels.dim() != 4:
            raise InputError(f"pixels must be [images, channels, height, width], got shape {tuple(pixels.shape)}")
        self._pixels = pixels.detach().float().clone(memory_format=torch.contiguous_format).requires_grad_()
        self._size = (pixels.shape[2] * downscale, pixels.shape[3] * downscale)

    def __len__(self) -> int:
        return self._pixels.shape[0]

    def render(self, indices: Tensor | None = None) -> Tensor:
        pixels = self._pixels if indices is None else self._pixels.index_select(0, indices)
        return scale_up(self._stored(pixels), self._size)

    def _stored(self, pixels: Tensor) -> Tensor:
        """Masters as they will be stored, differentiable."""
        return round_to_bfloat16(pixels)

    def parameters(self) -> dict[str, Tensor]:
        return {"pixels": self._pixels}

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return [{"params": [self._pixels], "lr": lr}]

    def buffers(self) -> dict[str, Tensor]:
        return {}

    def penalty(self) -> Tensor | None:
        return None

    def constrain(self) -> None:
        """Nothing: pixels may take any value."""

    @property
    def nbytes(self) -> int:
        return self._pixels.numel() * BFLOAT16_BYTES

    def plain_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        stored = self._pixels.detach().bfloat16().cpu()
        return DistilledSet(None, labels, *self._size, pixels=stored, **metadata)

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        return self.plain_set(labels, **metadata)
