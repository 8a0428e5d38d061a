"""Images from stored rows: drawn or scaled, as they are or as a network takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.cost import check_drawing, check_image_memory
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.splatting.gaussians import KERNEL_DTYPES

if TYPE_CHECKING:
    from gsdd_runtime.splatting.tiles import Method


@dataclass(frozen=True)
class Decoding:
    """How rows become images.

    Attributes:
        where: begins an error.
        channels: of the images.
        size, native_size: height and width of the result, and those that the factors are measured in.
        preparation: None for pixel units.
        dtype, channels_last: of the result.
    """

    where: str
    channels: int
    size: tuple[int, int]
    native_size: tuple[int, int]
    preparation: Preparation | None
    dtype: torch.dtype
    channels_last: bool

    def __post_init__(self) -> None:
        if self.dtype not in KERNEL_DTYPES:
            name = str(self.dtype).removeprefix("torch.")
            raise InputError(f"images decode to float32, float16 or bfloat16, not {name}")

    @property
    def _whitens(self) -> bool:
        return self.preparation is not None and self.preparation.zca is not None

    def check(self, images: int, row: Tensor) -> None:
        """Before ``images`` rows like ``row`` are gathered: is there memory for them and what they become?

        Raises:
            InputError: there is not.
        """
        pixels = row.dim() == 3
        # float32 copies of an image at once. The kernel needs none.
        copies = 3 if pixels and self.preparation is not None else 2 if self._whitens else int(pixels)
        finished = 0 if copies and self.dtype == torch.float32 else self.dtype.itemsize
        needed = self.channels * self.size[0] * self.size[1] * (4 * copies + finished)
        needed += row.numel() * (row.element_size() + 4 * pixels)
        check_image_memory(images, needed, row.device, "decode fewer at once, or a smaller size")

    def decode(self, rows: Tensor) -> Tensor:
        """``[B, C, height, width]`` of Gaussians ``[B, N, 6 + C]`` or pixels ``[B, C, H, W]``.

        Raises:
            InputError: drawing them is more work than can be meant.
            LibraryNotBuiltError: the native library is not installed.
        """
        if rows.dim() != 4:
            everything = slice(0, rows.shape[0])
            check_drawing(self.where, rows.__getitem__, everything, rows.shape[1], self.size, self.native_size)
        return self.draw(rows)

    def draw(self, rows: Tensor, method: Method | None = None) -> Tensor:
        """:meth:`decode` without its check; ``method`` is that of :func:`gsdd_runtime.splat`."""
        if rows.dim() == 4:
            return self._finished(scaled(rows, self.size))
        from gsdd_runtime.splatting.op import splat

        if self._whitens:
            return self._finished(splat(rows, *self.size, native_size=self.native_size, method=method))
        mean, std = (None, None) if self.preparation is None else self.preparation.statistics(rows.device)
        return splat(
            rows,
            *self.size,
            native_size=self.native_size,
            dtype=self.dtype,
            channels_last=self.channels_last,
            mean=mean,
            std=std,
            method=method,
        )

    def _finished(self, images: Tensor) -> Tensor:
        if self.preparation is not None:
            images = self.preparation.apply(images)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.to(self.dtype).contiguous(memory_format=layout)


def scaled(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels ``[B, C, H, W]`` at ``size`` by bilinear scaling over the area of a pixel, float32."""
    images = rows.float()
    if tuple(images.shape[2:]) != size:
        images = torch.nn.functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
    return images
