"""What every start is: where the first images come from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.distillation.drawing import DrawnNetwork
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.wording import counted

# Pixels times channels of the images that a network embeds at once.
PART_VALUES = 1 << 20
# Bytes handed to a hash at once.
_HASH_PART = 1 << 24


@dataclass(frozen=True)
class Source:
    """What a start may draw on.

    Attributes:
        real: the real images by class.
        data: the same as they are.
        network: of the run, drawn by key.
        gpc: images that each class starts with.
        seed: of the run.
        device: where the images are to be.
        own: the classes whose images are wanted, rising; all if None.
        progress: told of the classes whose images there are, by a start that takes long.
    """

    real: RealImages
    data: RealData
    network: DrawnNetwork
    gpc: int
    seed: int
    device: torch.device
    own: Sequence[int] | None = None
    progress: Reporter = silent

    @property
    def classes(self) -> Sequence[int]:
        """The classes whose images are wanted."""
        return range(self.data.classes) if self.own is None else self.own

    def features(self, positions: Tensor) -> Tensor:
        """What a fresh network embeds the training images at ``positions`` as, float32 ``[M, features]``."""
        network = self.network.draw("init", "network").eval()
        count = max(1, PART_VALUES // self.data.train_images[0].numel())
        with torch.no_grad():
            return torch.cat([network.embed(self.real.inputs(part)) for part in positions.split(count)])


class Start:
    """Where the first images come from. One of the three seams of distilling.

    Attributes:
        argument: what it is asked for with, behind a colon, in words; None where it takes nothing.
        chooses: it chooses ``gpc`` different real images of each class.
        varied: its images differ, so that pixels can start from them.
        fitted: there are images that Gaussians are fitted to.
        reads: the file that it starts from.
    """

    argument: str | None = None
    chooses: bool = False
    varied: bool = True
    fitted: bool = True
    reads: Path | None = None

    def check(self, data: RealData) -> None:
        """Before anything is computed: raises InputError where ``data`` cannot start so."""

    @property
    def record(self) -> str:
        """As the file's record has it."""
        raise NotImplementedError

    def images(self, source: Source) -> Tensor | None:
        """Images in pixel units, float32 ``[classes * gpc, C, H, W]``, class after class; None for a random start."""
        return source.real.pixels(self.positions(source))

    def positions(self, source: Source) -> Tensor:
        """Of one that chooses real images: which, int64 ``[classes * gpc]``, class after class."""
        return torch.cat([self.chosen(index, source) for index in source.classes])

    def chosen(self, index: int, source: Source) -> Tensor:
        """Positions of the ``gpc`` training images that class ``index`` starts from, int64."""
        raise NotImplementedError

    def rows(self, source: Source) -> Tensor | None:
        """Stored rows of a set, ``[classes * gpc, ...]``, to be taken as they are where they fit; None for none."""
        return None


def content_digest(path: Path) -> str:
    """The beginning of the SHA-256 of a file, for a record: a resumed run starts from the same."""
    digest = hashlib.sha256()
    with reading(path), open(path, "rb") as file:
        while part := file.read(_HASH_PART):
            digest.update(part)
    return f"sha256:{digest.hexdigest()[:16]}"


def check_enough(data: RealData, sizes: list[int], gpc: int, remedy: str) -> None:
    """Raises InputError where a class has fewer than ``gpc`` training images, or none at all."""
    for name, size in zip(data.class_names, sizes, strict=True):
        if size == 0:
            raise InputError(f"class {name!r} of {data.name} has no training image: leave the class out")
        if size < gpc:
            raise InputError(
                f"class {name!r} of {data.name} has {counted(size, 'training image')}, fewer than the {gpc} that its "
                f"distilled images start from: lower gpc, or choose {remedy}"
            )
