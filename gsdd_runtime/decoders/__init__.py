"""What can decode a distilled set by index: one file a runtime. Each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor, device, dtype

if TYPE_CHECKING:
    from gsdd_runtime.sets.rows import Indices


class Decoder(Protocol):
    """Images and labels by index. Every runtime gives the same images, within the tolerance of the specification."""

    channels: int
    height: int
    width: int
    classes: int
    dtype: dtype
    device: device

    def __len__(self) -> int:
        """Images in the set."""
        ...

    def decode(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Images ``[B, C, H, W]`` on ``device`` in ``dtype``, and labels: int64 ``[B]`` or float16 ``[B, classes]``.

        Raises:
            InputError: an index that is no whole number, or out of 0 to M - 1.
        """
        ...


def check_batch_memory(decoder: Decoder, batch: int) -> None:
    """Raises InputError where a batch that ``decoder`` makes does not fit the memory that is free."""
    from gsdd_runtime.sets.cost import check_image_memory

    bytes_an_image = decoder.channels * decoder.height * decoder.width * decoder.dtype.itemsize
    check_image_memory(batch, bytes_an_image, decoder.device, "take smaller batches, or smaller images")
