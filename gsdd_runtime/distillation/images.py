"""Synthetic images as leaves of a loss's graph; their gradients go through the renderer once an update, in parts."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from gsdd_runtime.devices import send
from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.representations.representation import Representation
from gsdd_runtime.sets.preparation import Preparation

# Pixels times channels that one part renders at most: 256 MB of float32.
PART_VALUES = 1 << 26
# Gradients that are kept until the update: 512 MB of float32. Beyond, they go through the renderer before it.
KEPT_VALUES = 1 << 27


class SyntheticImages:
    """The images of a representation as a network takes them.

    Args:
        representation: that renders them.
        preparation: from pixel units to what a network takes, on the device.
        division: of the images over the processes of a run, where the representation has this one's alone.

    Attributes:
        given: how many images it has given so far.
    """

    def __init__(
        self, representation: Representation, preparation: Preparation, division: Division | None = None
    ) -> None:
        self._representation = representation
        self._division = division
        self._preparation = preparation
        self._gradients: list[tuple[Tensor, Tensor, Hashable]] = []
        self.given = 0

    def __len__(self) -> int:
        return len(self._representation) if self._division is None else self._division.images

    def leaf(self, indices: Tensor) -> Tensor:
        """The images at ``indices`` as they are now, a leaf that asks for its gradient.

        Whatever ``backward`` adds to the leaf, while it is used and until the images move, moves the images.

        Args:
            indices: int64 ``[B]``, all different, on any device.

        Returns:
            float32 ``[B, C, H, W]``.
        """
        batch = None if indices.is_cuda else tuple(indices.tolist())
        indices = self._rows(indices)
        self.given += len(indices)
        with torch.no_grad():
            parts = [
                self._preparation.apply(self._representation.render(part, (batch, k)))
                for k, part in enumerate(self._parts(indices))
            ]
            images = parts[0] if len(parts) == 1 else torch.cat(parts)
        images.requires_grad_()

        def keep(leaf: Tensor) -> None:
            if leaf.grad is not None:
                self._gradients.append((indices, leaf.grad, batch))
                leaf.grad = None

        images.register_post_accumulate_grad_hook(keep)
        return images

    def now(self, indices: Tensor) -> Tensor:
        """The images at ``indices`` as they are now, without a gradient, float32 ``[B, C, H, W]``."""
        with torch.no_grad():
            indices = self._rows(indices)
            self.given += len(indices)
            return self._preparation.apply(self._representation.render(indices))

    def relieve(self) -> None:
        """Lets kept gradients go where they take much memory: as :meth:`spread`, which adds up to the same."""
        if sum(gradient.numel() for _, gradient, _ in self._gradients) > KEPT_VALUES:
            self.spread()

    def spread(self) -> None:
        """Adds what the leaves have gathered to the gradients of the masters."""
        for indices, gradient, batch in self._gradients:
            shares = gradient.split(self._images_per_part)
            for k, (part, share) in enumerate(zip(self._parts(indices), shares, strict=True)):
                self._spread(part, share, (batch, k))
        self._gradients.clear()

    def _spread(self, indices: Tensor, gradient: Tensor, batch: Hashable) -> None:
        masters = self._representation.parameters()
        rows = {name: part.detach().index_select(0, indices).requires_grad_() for name, part in masters.items()}
        self._preparation.apply(self._representation.draw(rows, batch)).backward(gradient)
        for name, part in masters.items():
            added = rows[name].grad
            if added is None:
                continue
            if part.grad is None:
                part.grad = torch.zeros_like(part)
            # No index comes twice, so that no two additions meet on CUDA.
            part.grad.index_add_(0, indices, added)

    def _rows(self, indices: Tensor) -> Tensor:
        """Where images are among the masters, on the device."""
        return send(indices if self._division is None else self._division.local(indices.cpu()), self._device)

    @property
    def _device(self) -> torch.device:
        return next(iter(self._representation.parameters().values())).device

    @property
    def _images_per_part(self) -> int:
        return max(1, PART_VALUES // self._representation.image_values)

    def _parts(self, indices: Tensor) -> tuple[Tensor, ...]:
        return indices.split(self._images_per_part)
