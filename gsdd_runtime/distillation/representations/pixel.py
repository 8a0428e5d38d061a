"""Images as plain pixels: the baseline that Gaussians are compared with."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.representations.pixel_rate import NOISE
from gsdd_runtime.distillation.representations.representation import Representation, Room, Storage
from gsdd_runtime.distillation.representations.rounding import round_to_bfloat16
from gsdd_runtime.distillation.representations.scaling import scale_up
from gsdd_runtime.distillation.storage import (
    FLOAT32_BITS,
    PIXEL_IMAGES_PER_FLOAT32_IMAGE,
    bounded,
    float32_bits,
)
from gsdd_runtime.distillation.targets import Targets
from gsdd_runtime.errors import InputError
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.decoding import scaled
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.wording import counted

BFLOAT16_BYTES = 2


class PixelRepresentation(Representation):
    """``M`` images of pixels, stored as bfloat16 like the Gaussians, and trained aware of it in the same way.

    Args:
        pixels: initial float32 masters in pixel units, ``[M, C, H, W]``.
        downscale: whole factor that the rendered images are larger by.

    Raises:
        InputError: pixels of another rank.
    """

    @dataclass(frozen=True)
    class Options:
        downscale: int = option(
            1, "Pixels are kept smaller by this whole factor along each side, and scaled up bilinearly.", least=1
        )

    learning_rate: ClassVar[float] = 1e-2
    fitted: ClassVar[bool] = False
    divisible: ClassVar[bool] = True

    @classmethod
    def plan(cls, room: Room, options: Any) -> Storage:
        check_downscale(room, options.downscale)
        bits = FLOAT32_BITS / PIXEL_IMAGES_PER_FLOAT32_IMAGE
        held = int(float32_bits(room.data, room.ipc) / (small_values(room, options.downscale) * bits))
        if room.gpc is not None and room.gpc > held:
            raise InputError(
                f"the storage of {counted(room.ipc, 'float32 image')} per class holds {counted(held, 'image')} of "
                f"bfloat16 pixels, not {room.gpc}: lower gpc, or raise ipc"
            )
        return Storage(bounded(held, room.most) if room.gpc is None else room.gpc)

    @classmethod
    def fresh(
        cls,
        room: Room,
        storage: Storage,
        options: Any,
        targets: Targets | None,
        seed: int,
        device: str,
        kept: Tensor | None = None,
    ) -> Representation:
        data = room.data
        size = (data.height // options.downscale, data.width // options.downscale)
        if targets is None:
            generator = derived_generator(seed, "init", "values")
            noise = torch.randn(data.classes * storage.gpc, data.channels, *size, generator=generator)
            noise = noise if kept is None else noise[kept]
            images = torch.tensor(data.mean).view(1, -1, 1, 1) + NOISE * noise
        else:
            images = targets[torch.arange(len(targets), device=targets.device)]
        return cls._of(scaled(images.to(device), size), room, options)

    @classmethod
    def taken_from(cls, room: Room, storage: Storage, options: Any, rows: Tensor, device: str) -> Representation | None:
        data = room.data
        size = (data.height // options.downscale, data.width // options.downscale)
        return cls._of(rows.to(device).float(), room, options) if rows.shape[1:] == (data.channels, *size) else None

    @classmethod
    def _of(cls, pixels: Tensor, room: Room, options: Any) -> Representation:
        return cls(pixels, downscale=options.downscale)

    def __init__(self, pixels: Tensor, *, downscale: int = 1) -> None:
        if pixels.dim() != 4:
            raise InputError(f"pixels must be [images, channels, height, width], got shape {tuple(pixels.shape)}")
        self._pixels = pixels.detach().float().clone(memory_format=torch.contiguous_format).requires_grad_()
        self._size = (pixels.shape[2] * downscale, pixels.shape[3] * downscale)

    def __len__(self) -> int:
        return self._pixels.shape[0]

    @property
    def image_values(self) -> int:
        return self._pixels.shape[1] * self._size[0] * self._size[1]

    def render(self, indices: Tensor | None = None, batch: Hashable = None) -> Tensor:
        return self.draw({"pixels": self._pixels if indices is None else self._pixels.index_select(0, indices)})

    def draw(self, masters: Mapping[str, Tensor], batch: Hashable = None) -> Tensor:
        return scale_up(self._stored(masters["pixels"]), self._size)

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

    def stored(self, rows: slice = slice(None)) -> Tensor:
        return self._pixels.detach()[rows].bfloat16().cpu()

    def set_of(self, stored: Tensor, labels: Tensor, **metadata: Any) -> DistilledSet:
        return DistilledSet(None, labels, *self._size, pixels=stored, **metadata)

    def plain_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        return self.set_of(self.stored(), labels, **metadata)

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        return self.plain_set(labels, **metadata)


def check_downscale(room: Room, downscale: int) -> None:
    data = room.data
    if data.height % downscale or data.width % downscale:
        raise InputError(f"images of {data.height}x{data.width} cannot be downscaled by {downscale} a side")


def small_values(room: Room, downscale: int) -> int:
    """Pixels times channels of an image as it is kept."""
    return room.data.height * room.data.width * room.data.channels // downscale**2
