"""Decoding with the native PyTorch op, on the CPU or a CUDA device."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.devices import resolve_device, send
from gsdd_runtime.sets.decoding import Decoding
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.rows import Indices, select


class TorchDecoder:
    """Decodes a set held on ``device``, as :func:`gsdd_runtime.devices.resolve_device` takes it.

    The other arguments are those of :meth:`DistilledSet.decode`.

    On the CPU a memory-mapped set stays so; another device gets a copy of the parameters.

    Raises:
        InputError: a device that our kernel cannot run on, a size or dtype out of range, no mean to normalise with, or
            hours of drawing.
        LibraryNotBuiltError: the native library is not installed.
    """

    def __init__(
        self,
        distilled_set: DistilledSet,
        *,
        device: str | torch.device = "cpu",
        normalize: bool = False,
        size: tuple[int, int] | None = None,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        self._set = distilled_set.to(resolve_device(device))
        self.device = self._set.device
        self.channels = distilled_set.channels
        self.classes = distilled_set.classes
        self.height, self.width = size or (distilled_set.height, distilled_set.width)
        self.dtype = dtype
        self._normalize = normalize
        self._channels_last = channels_last
        self._kept: tuple[Tensor, Tensor, Decoding] | None = None
        # Options are refused here, not at the first batch.
        self._set.check_drawing(None, self.height, self.width)
        self.decode([])

    def __len__(self) -> int:
        return len(self._set)

    def decode(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Images ``[B, C, H, W]`` and labels, int64 ``[B]`` or float16 ``[B, classes]``, on the device.

        Raises:
            InputError: an index that is no whole number, or out of 0 to M - 1; a damaged file.
        """
        chosen = select(indices, len(self._set))
        images = self._set.decode(
            chosen, self.height, self.width,
            normalize=self._normalize, dtype=self.dtype, channels_last=self._channels_last,
        )  # fmt: skip
        labels = self._set.labels
        return images, labels[chosen if isinstance(chosen, slice) else send(chosen, labels.device)]

    def draw(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`decode`, for a CUDA graph and a compiled step: nothing is read back by the host, or moved.

        Mean and deviation are on the device, as everything else is. The first call checks all of the set and keeps
        what later ones need: make it before a capture. The direct kernel draws.

        Args:
            indices: int64 ``[B]`` on the device, not checked: one out of range is the nearest image.

        Raises:
            InputError: at the first call, a damaged file.
        """
        if self._kept is None:
            decoding = self._set.decoding(
                self.height, self.width,
                normalize=self._normalize, dtype=self.dtype, channels_last=self._channels_last,
            )  # fmt: skip
            self._kept = (self._set.rows(), self._set.labels, decoding)
        rows, labels, decoding = self._kept
        chosen = indices.clamp(0, len(self) - 1)
        return decoding.draw(rows.index_select(0, chosen), "direct"), labels.index_select(0, chosen)
