"""Crops of real images that a teacher knows best, several in an image (RDED: Sun et al., arXiv 2312.03526)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.starts.start import Source, Start, content_digest
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.folder import ExpertFolder
from gsdd_runtime.experts.teaching import load_teacher, teacher_path
from gsdd_runtime.progress import Progress
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.training.teacher import Teacher, check_classes
from gsdd_runtime.wording import counted

# Crops in an image: so many along each side.
SIDE = 2
# As released: real images of a class that are looked at, crops of each, and the least share of its area.
IMAGES, CROPS, LEAST_AREA = 300, 5, 0.08
# The longer side of a crop, in the shorter, at most.
MOST_RATIO = 4 / 3
# Values of images that the teacher is shown at once.
_PART_VALUES = 1 << 22


class CropsStart(Start):
    """``init="crops:MODEL"``. Each image is ``SIDE * SIDE`` crops of real images of its class, scaled down.

    Of random crops the teacher tells which show their class best, by the cross entropy. The best crop of each real
    image goes before a second one of any. The teacher sees a crop scaled up to the size that it takes.

    Args:
        argument: a trained network's file, or a folder of experts, taken together.
    """

    argument = "MODEL"

    def __init__(self, argument: str) -> None:
        self._teacher_path = Path(argument)
        self.reads = teacher_path(self._teacher_path)

    @cached_property
    def record(self) -> str:
        """The teacher's name and content: a resumed run starts from the same."""
        assert self.reads is not None
        if self.reads.is_dir():
            return f"crops:{self.reads.name} {ExpertFolder(self.reads).fingerprint[:23]}"
        return f"crops:{self.reads.name} {content_digest(self.reads)}"

    def _teacher(self, data: RealData) -> Teacher:
        return load_teacher(self._teacher_path, data.preparation)

    def check(self, data: RealData) -> None:
        teacher = self._teacher(data)
        check_classes(teacher, data.classes, data.class_names)
        shape = (data.channels, data.height, data.width)
        if teacher.preparation.shape != shape:
            ours, theirs = ("x".join(map(str, each)) for each in (shape, teacher.preparation.shape))
            raise InputError(f"init: the teacher {teacher.name} takes images of {theirs}, {data.name} has {ours}")
        if min(shape[1:]) < 2 * SIDE:
            raise InputError(f"init crops: images of {data.height}x{data.width} are too small to hold several crops")

    def images(self, source: Source) -> Tensor:
        teacher = self._teacher(source.data).to(source.device)
        found = []
        for index in source.classes:
            found.append(self._of_class(index, source, teacher))
            source.progress(Progress("crops", len(found), len(source.classes)))
        return torch.cat(found)

    def _of_class(self, index: int, source: Source, teacher: Teacher) -> Tensor:
        data, wanted = source.data, source.gpc * SIDE * SIDE
        members = source.real.members(index)
        generator = derived_generator(source.seed, "init", "crops", index)
        members = members[torch.randperm(len(members), generator=generator)[:IMAGES]]
        if len(members) * CROPS < wanted:
            raise InputError(
                f"init crops: class {data.class_names[index]!r} of {data.name} has "
                f"{counted(len(members), 'image')}, and {wanted} crops of them are wanted: lower gpc"
            )
        boxes = [random_box(data.height, data.width, generator) for _ in range(len(members) * CROPS)]
        owners = members.repeat_interleave(CROPS)
        losses = self._losses(index, source, teacher, owners, boxes)
        chosen = best_crops(losses.view(len(members), CROPS), wanted)
        # The best of all first in each image, so that every image has some.
        places = chosen.view(SIDE * SIDE, source.gpc).T
        return torch.stack([self._joined(source, owners[row], [boxes[int(one)] for one in row]) for row in places])

    def _losses(
        self, index: int, source: Source, teacher: Teacher, owners: Tensor, boxes: list[tuple[int, int, int, int]]
    ) -> Tensor:
        size = (source.data.height, source.data.width)
        count = max(1, _PART_VALUES // source.data.train_images[0].numel())
        found = []
        for first in range(0, len(owners), count):
            images = source.real.pixels(owners[first : first + count])
            crops = [cut(image, box, size) for image, box in zip(images, boxes[first : first + count], strict=True)]
            found.append(-teacher.labels(torch.stack(crops))[:, index].clamp_min(1e-30).log().cpu())
        return torch.cat(found)

    def _joined(self, source: Source, owners: Tensor, boxes: list[tuple[int, int, int, int]]) -> Tensor:
        """One image of ``SIDE * SIDE`` crops, row by row."""
        images = source.real.pixels(owners)
        rows, columns = _parts(source.data.height), _parts(source.data.width)
        cells = [(row, column) for row in rows for column in columns]
        crops = [cut(*each) for each in zip(images, boxes, cells, strict=True)]
        lines = [torch.cat(crops[first : first + SIDE], dim=2) for first in range(0, len(crops), SIDE)]
        return torch.cat(lines, dim=1)


def best_crops(losses: Tensor, count: int) -> Tensor:
    """Which of the crops of some images are taken, int64 ``[count]``, positions in the flat ``losses``.

    The best crop of every image by rising loss, then the second best of every image, and so on.

    Args:
        losses: float32 ``[images, crops]``.
        count: at most as many as there are.
    """
    order = losses.argsort(dim=1, stable=True)
    found = []
    for column in order.T:
        flat = torch.arange(len(losses)) * losses.shape[1] + column
        found.append(flat[losses.flatten()[flat].argsort(stable=True)])
    return torch.cat(found)[:count]


def random_box(height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random crop: evenly by area, and by the logarithm of the sides' ratio."""
    share, ratio, down, right = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    area = LEAST_AREA + (1 - LEAST_AREA) * share
    stretch = MOST_RATIO ** (ratio - 0.5)
    rows = min(height, max(1, round(height * area**0.5 * stretch)))
    columns = min(width, max(1, round(width * area**0.5 / stretch)))
    return int(down * (height - rows + 1)), int(right * (width - columns + 1)), rows, columns


def cut(image: Tensor, box: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
    """The crop of ``image`` ``[C, H, W]`` at ``size``, bilinear, aware of areas."""
    top, left, height, width = box
    crop = image[None, :, top : top + height, left : left + width]
    return functional.interpolate(crop, size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)


def _parts(side: int) -> list[int]:
    """A side in ``SIDE`` parts that differ by one at most."""
    return [side * (part + 1) // SIDE - side * part // SIDE for part in range(SIDE)]
