"""The images of a distilled set as they are drawn: at a size, in pixel units or as a network takes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.sets.cost import check_drawing
from gsdd_runtime.sets.decoding import Decoding
from gsdd_runtime.sets.preparation import LEFT_OUT, Preparation
from gsdd_runtime.sets.rows import Indices, output_side, select
from gsdd_runtime.sets.stored import StoredTensors


class DrawnImages:
    """What a DistilledSet draws; its attributes are those of the set."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    training: dict[str, Any]
    _where: str
    _stored: StoredTensors

    def __len__(self) -> int:
        return self._stored.images.shape[0]

    @property
    def representation(self) -> str:
        """``"gaussians"`` or ``"pixels"``."""
        return self._stored.representation

    def rows(self, indices: Indices = None) -> Tensor:
        """The stored images at ``indices``, checked: bfloat16 ``[B, N, 6 + C]``, or pixels ``[B, C, H, W]``.

        A range is a view of the (mapped) set, anything else a copy.

        Raises:
            InputError: an index out of 0 to M - 1; a damaged value; the file was cut short.
        """
        return self._stored.rows(indices)

    def decode(
        self,
        indices: Indices = None,
        height: int | None = None,
        width: int | None = None,
        *,
        normalize: bool = False,
        dtype: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> Tensor:
        """Images at ``indices``, all if left out: ``[B, C, height, width]``, the whole result at once.

        Args:
            indices: an int (a batch of one), a slice, or a sequence or tensor of ints from 0 to M - 1.
            height, width: of the result, 1 to 16384; the native size if left out. Gaussians are drawn at that
                size, pixels scaled bilinearly.
            normalize: as a network takes them, see ``prepare``; else pixel units, where [0, 1] is black to white
                and values outside are possible.
            dtype: float32 (the default), float16 or bfloat16.
            channels_last: lay the result out channels last; its shape is the same.

        Raises:
            InputError: an index, size or dtype out of range; no mean to normalise with; ``normalize`` at another
                size than the native one where the set has a ``zca``; a result larger than the memory that is free, or
                that takes hours to draw; a damaged file.
            LibraryNotBuiltError: the native library is not installed.
        """
        decoding = self.decoding(height, width, normalize=normalize, dtype=dtype, channels_last=channels_last)
        chosen = select(indices, len(self))
        decoding.check(chosen.stop - chosen.start if isinstance(chosen, slice) else len(chosen), self._stored.images[0])
        return decoding.decode(self.rows(chosen))

    def decoding(
        self,
        height: int | None = None,
        width: int | None = None,
        *,
        normalize: bool = False,
        dtype: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> Decoding:
        """How :meth:`decode` makes images of rows.

        ``height``, ``width``, ``normalize``, ``dtype`` and ``channels_last`` are as it takes them; raises as it does.
        """
        size = (output_side("height", height, self.height), output_side("width", width, self.width))
        return Decoding(
            self._where,
            self.channels,
            size,
            (self.height, self.width),
            self.preparation.for_size(*size) if normalize else None,
            dtype or torch.float32,
            channels_last,
        )

    def check_drawing(self, indices: Indices = None, height: int | None = None, width: int | None = None) -> None:
        """Before all that is drawn part by part: raises InputError where it is more work than can be meant.

        docs/file-format.md gives the limit. ``indices``, ``height`` and ``width`` are as :meth:`decode` takes them: in
        pixels, the native size if left out.
        """
        if self.representation == "pixels":
            return
        chosen = select(indices, len(self))
        size = (output_side("height", height, self.height), output_side("width", width, self.width))
        count = self._stored.images.shape[1]
        check_drawing(self._where, self.rows, chosen, count, size, (self.height, self.width))

    @property
    def preparation(self) -> Preparation:
        """What makes a network's input of images in pixel units; the ``zca`` in it is checked the first time.

        Raises:
            InputError: ``zca`` holds a NaN or an infinity; the file was cut short.
        """
        shape = (self.channels, self.height, self.width)
        zca = self._stored.matrix()
        left_out = zca is None and LEFT_OUT in self.training
        return Preparation(self._where, shape, self.mean, self.std, zca, left_out)

    def prepare(self, images: Tensor) -> Tensor:
        """Real images in pixel units, float32 ``[B, C, H, W]``, as a network trained on this set takes them.

        ``(image - mean) / std``; or, where the set has a ``zca``, ``[x, 1] @ zca`` for each image flattened to
        ``x``, whatever mean and std are.

        Raises:
            InputError: the set has neither, or images do not have the size that its ``zca`` is for.
        """
        return self.preparation.apply(images)
