"""Images as 2D Gaussians, trained aware of their bfloat16 storage."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.placement import EDGES, PLACEMENTS, placed_at_edges
from gsdd_runtime.distillation.representations.representation import Representation, Room, Storage
from gsdd_runtime.distillation.representations.rounding import round_to_bfloat16
from gsdd_runtime.distillation.storage import gaussian_images
from gsdd_runtime.distillation.targets import Targets
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting import tiles
from gsdd_runtime.splatting.gaussians import (
    BOUNDARY_MARGIN,
    CHOLESKY,
    COLOR,
    OPACITY,
    POSITION,
    check_gaussians,
    initial_gaussians,
    parameters_per_gaussian,
    storage_budget,
)
from gsdd_runtime.splatting.op import splat
from gsdd_runtime.splatting.tile_lists import KeptLists

# Shares of the learning rate (docs/distilling.md tells how they were found). Positions span 2, factors pixels.
LEARNING_RATE_SHARES = {"position": 0.5, "cholesky": 3.0, "color": 0.5, "opacity": 0.5}

BFLOAT16_BYTES = 2
DEFAULT_BOUNDARY_WEIGHT = 0.1


class GaussianRepresentation(Representation):
    """``M`` images of ``N`` Gaussians each (GSDD, arXiv 2509.26219, section 3).

    The four kinds of parameter are separate leaf tensors, so that each has its own learning rate.

    Args:
        gaussians: initial float32 masters, ``[M, N, 6 + C]``; the layout is that of the render specification.
        height, width: of the images, in pixels.
        boundary_weight: of the penalty that keeps the centres off the edge.

    Raises:
        InputError: gaussians of another shape.
    """

    @dataclass(frozen=True)
    class Options:
        boundary_weight: float = option(
            DEFAULT_BOUNDARY_WEIGHT, "Of the penalty that keeps the centres of Gaussians off the edge."
        )
        placement: str = option(
            EDGES, "Where Gaussians start that are fitted: along their image's edges, or anywhere.",
            choices=lambda: PLACEMENTS,
        )  # fmt: skip

    learning_rate: ClassVar[float] = 1e-3
    fitted: ClassVar[bool] = True
    divisible: ClassVar[bool] = True

    @classmethod
    def plan(cls, room: Room, options: Any) -> Storage:
        data, gpc = room.data, room.gpc
        if gpc is None:
            held = data.height * data.width * data.channels * room.ipc * 2 // parameters_per_gaussian(data.channels)
            gpc = gaussian_images(data, held, room.ipc, room.most)
        count = storage_budget(data.height, data.width, data.channels, room.ipc, gpc)
        return Storage(gpc, {"gaussians_per_image": count})

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
        start = initial_gaussians(
            data.classes * storage.gpc, storage.facts["gaussians_per_image"], data.channels, data.height, data.width,
            derived_generator(seed, "init", "values"), kept,
        )  # fmt: skip
        if targets is not None and options.placement == EDGES:
            start = placed_at_edges(start, targets)
        return cls._of(start.to(device), room, options)

    @classmethod
    def taken_from(cls, room: Room, storage: Storage, options: Any, rows: Tensor, device: str) -> Representation | None:
        form = (storage.facts["gaussians_per_image"], parameters_per_gaussian(room.data.channels))
        if rows.shape[1:] != form:
            return None
        return cls._of(rows.to(device).float(), room, options)

    @classmethod
    def _of(cls, gaussians: Tensor, room: Room, options: Any) -> Representation:
        return cls(gaussians, room.data.height, room.data.width, boundary_weight=options.boundary_weight)

    def __init__(
        self, gaussians: Tensor, height: int, width: int, *, boundary_weight: float = DEFAULT_BOUNDARY_WEIGHT
    ) -> None:
        check_gaussians(gaussians)
        self.height = height
        self.width = width
        self.boundary_weight = boundary_weight
        self._lists = KeptLists()
        masters = gaussians.detach().float()
        self._masters = {
            "position": masters[..., POSITION],
            "cholesky": masters[..., CHOLESKY],
            "color": masters[..., COLOR],
            "opacity": masters[..., OPACITY].unsqueeze(-1),
        }
        self._masters = {
            name: part.clone(memory_format=torch.contiguous_format).requires_grad_()
            for name, part in self._masters.items()
        }
        self.constrain()

    def __len__(self) -> int:
        return self._masters["position"].shape[0]

    @property
    def masters(self) -> Tensor:
        """All parameters as one float32 tensor ``[M, N, 6 + C]``."""
        return _joined(self._masters)

    @property
    def image_values(self) -> int:
        return self._masters["color"].shape[-1] * self.height * self.width

    def render(self, indices: Tensor | None = None, batch: Hashable = None) -> Tensor:
        if indices is None:
            return self.draw(self._masters, batch)
        return self.draw({name: part.index_select(0, indices) for name, part in self._masters.items()}, batch)

    def draw(self, masters: Mapping[str, Tensor], batch: Hashable = None) -> Tensor:
        gaussians = self._stored(_joined(masters))
        with tiles.keeping(self._lists, batch):
            return splat(gaussians, self.height, self.width, method=tiles.RENDERERS[self.renderer])

    def _stored(self, masters: Tensor) -> Tensor:
        """Gaussians ``[B, N, 6 + C]`` as they will be stored, differentiable."""
        return round_to_bfloat16(masters)

    def parameters(self) -> dict[str, Tensor]:
        return dict(self._masters)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return [{"params": [part], "lr": lr * LEARNING_RATE_SHARES[name]} for name, part in self._masters.items()]

    def buffers(self) -> dict[str, Tensor]:
        return {}

    def penalty(self) -> Tensor | None:
        """``boundary_weight * mean(-log(1 - x^2) - log(1 - y^2))`` on the float32 masters (section 3.3)."""
        if self.boundary_weight == 0:
            return None
        position = self._masters["position"]
        coordinates = position.numel() // len(self) * (self.among or len(self))
        # Two coordinates a Gaussian: the mean over Gaussians of their sum is twice the mean over coordinates.
        return -2 * self.boundary_weight * (torch.log1p(-position.square()).sum() / coordinates)

    def constrain(self) -> None:
        """Clips the centres to ``[-1 + 4e-3, 1 - 4e-3]``."""
        with torch.no_grad():
            self._masters["position"].clamp_(-1 + BOUNDARY_MARGIN, 1 - BOUNDARY_MARGIN)

    @property
    def nbytes(self) -> int:
        return sum(part.numel() for part in self._masters.values()) * BFLOAT16_BYTES

    def stored(self, rows: slice = slice(None)) -> Tensor:
        return _joined({name: part.detach()[rows].bfloat16() for name, part in self._masters.items()}).cpu()

    def set_of(self, stored: Tensor, labels: Tensor, **metadata: Any) -> DistilledSet:
        return DistilledSet(stored, labels, self.height, self.width, **metadata)

    def plain_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        return self.set_of(self.stored(), labels, **metadata)

    def to_set(self, labels: Tensor, **metadata: Any) -> DistilledSet:
        return self.plain_set(labels, **metadata)


def _joined(masters: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([masters[name] for name in LEARNING_RATE_SHARES], dim=-1)
