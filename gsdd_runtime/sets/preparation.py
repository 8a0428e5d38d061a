"""What a network takes, made of images in pixel units: ``(image - mean) / std``, or whitened (ZCA).

The one place that knows the rule: decoding, training, testing, distilling and every exporter ask it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted

# Under this name a set's ``training`` holds the note of a whitening matrix that its file leaves out.
LEFT_OUT = "whitening"


@dataclass(frozen=True, eq=False)
class Preparation:
    """The preparation of images for a network trained on a set, or on real data.

    Attributes:
        where: whose it is, as messages name it.
        shape: channels, height and width of the images.
        mean, std: a number a channel, in pixel units [0, 1]; or None.
        zca: float32 ``[D + 1, D]``, ``D = C * height * width``, or None. Where there is one, it alone is applied.
        left_out: whether a ``zca`` is needed that is not there.
    """

    where: str
    shape: tuple[int, int, int]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    zca: Tensor | None = None
    left_out: bool = False

    def for_size(self, height: int, width: int) -> Preparation:
        """Itself, where it can prepare images of that size: whatever decodes or trains asks first.

        Raises:
            InputError: there is no mean and std, or ``zca`` is for another size.
        """
        if self.zca is None:
            self._required_statistics()
        elif (height, width) != self.shape[1:]:
            raise InputError(
                f"{self.where} whitens images of {self.shape[1]}x{self.shape[2]} alone (zca), not of {height}x{width}: "
                "take its own size, or plain images (normalize=False, or no --normalize)"
            )
        return self

    def to(self, device: torch.device) -> Preparation:
        """With ``zca`` on ``device``; ``apply`` copies it there each time where it is not."""
        return self if self.zca is None else replace(self, zca=self.zca.to(device))

    def statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and std, float32 ``[C]`` on ``device``.

        Raises:
            InputError: there are none.
        """
        mean, std = self._required_statistics()
        return _on_device(mean, device), _on_device(std, device)

    def apply(self, images: Tensor) -> Tensor:
        """What a network takes, float32 ``[B, C, H, W]``, of images in pixel units of that shape. Differentiable.

        Raises:
            InputError: as ``for_size``; or images of another number of channels.
        """
        channels = images.shape[1]
        if channels != self.shape[0]:
            raise InputError(f"{self.where} has images of {counted(self.shape[0], 'channel')}, got {channels}")
        self.for_size(images.shape[2], images.shape[3])
        if self.zca is not None:
            # Autocast would whiten in half precision.
            with torch.autocast(images.device.type, enabled=False):
                return whitened(images.float(), self.zca.to(images.device))
        mean, std = self.statistics(images.device)
        return (images - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)

    def undo(self, images: Tensor) -> Tensor:
        """Images in pixel units, float32, of what :meth:`apply` makes; see :meth:`inverse`."""
        return self.inverse()(images)

    def inverse(self) -> Callable[[Tensor], Tensor]:
        """What makes images in pixel units, float32, of what :meth:`apply` makes; of whitening, the inverse matrix.

        Raises:
            InputError: as ``apply``, there is nothing to prepare with; or ``zca`` cannot be inverted.
        """
        if self.zca is None:
            self._required_statistics()

            def undone(images: Tensor) -> Tensor:
                mean, std = self.statistics(images.device)
                return images * std.view(1, -1, 1, 1) + mean.view(1, -1, 1, 1)

            return undone
        matrix = self.zca.double()
        try:
            back: Tensor = torch.linalg.inv(matrix[:-1])
        except RuntimeError as error:
            raise InputError(f"{self.where}: its zca cannot be inverted: take plain images") from error

        def unwhitened(images: Tensor) -> Tensor:
            self.for_size(images.shape[2], images.shape[3])
            rows: Tensor = (images.double().flatten(1) - matrix[-1].to(images.device)) @ back.to(images.device)
            return rows.view(images.shape).float()

        return unwhitened

    def equals(self, other: Preparation) -> bool:
        """Whether both make the same of every image."""
        if self.zca is None or other.zca is None:
            return (self.zca is other.zca) and (self.mean, self.std) == (other.mean, other.std)
        return torch.equal(self.zca.cpu(), other.zca.cpu())

    def _required_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self.left_out:
            raise InputError(
                f"{self.where} whitens by a matrix that was left out: fit it again from the data that it was made from "
                "(gsdd-rt whiten SET --dataset ... --out SET), or take plain images"
            )
        if self.mean is None or self.std is None:
            raise InputError(
                f"{self.where} has no mean and std to normalise with: take plain images "
                "(normalize=False, or no --normalize)"
            )
        return self.mean, self.std


def whitened(images: Tensor, zca: Tensor) -> Tensor:
    """``[x, 1] @ zca`` for each image, flattened in the order channel, row, column to ``x``; in the images' shape.

    Args:
        images: float32 ``[B, C, H, W]`` in pixel units.
        zca: float32 ``[D + 1, D]``, its last row the offset.
    """
    return torch.addmm(zca[-1], images.flatten(1), zca[:-1]).view(images.shape)


@lru_cache(maxsize=64)
def _on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    # Kept: making it anew for each batch would make the host wait for a CUDA device each time.
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device)
