"""The changes of images that soft labels are trained with: a random crop scaled up, a flip, CutMix.

As SRe2L and RDED take them, of images as a network takes them. Draws are made in float64 on the CPU, so that a seed
means the same whatever device holds the images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.devices import send

# Of torchvision's RandomResizedCrop: the proportions of a crop, and draws before its middle is taken instead.
_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True)
class Mix:
    """Which images were pasted into which.

    Attributes:
        partners: int64 ``[B]``: image ``i`` got a part of image ``partners[i]``.
        share: of an image's pixels that are its own still.
    """

    partners: Tensor
    share: float

    def labels(self, labels: Tensor, classes: int) -> Tensor:
        """Floats ``[B, classes]``: what each mixed image shows, by area, of hard or soft labels."""
        soft = labels if labels.dim() == 2 else functional.one_hot(labels, classes).float()
        return self.share * soft + (1 - self.share) * soft[send(self.partners, soft.device)]


def cropped(images: Tensor, generator: torch.Generator, least: float) -> Tensor:
    """Each image's own random part, of ``least`` to all of its area, at full size again; half of them flipped.

    Args:
        images: floats ``[B, C, H, W]``.
        generator: on the CPU.
        least: share of the area, above 0 and at most 1.
    """
    count, _, height, width = images.shape
    boxes = _boxes(count, height, width, generator, least)
    flip = 1 - 2 * (torch.rand(count, generator=generator, dtype=torch.float64) < 0.5).double()
    top, left, tall, wide = boxes.unbind(1)
    zero = torch.zeros(count, dtype=torch.float64)
    # Coordinates run from -1 to 1 along each side.
    across = torch.stack([flip * wide / width, zero, (2 * left + wide) / width - 1], dim=1)
    down = torch.stack([zero, tall / height, (2 * top + tall) / height - 1], dim=1)
    theta = torch.stack([across, down], dim=1).to(images.dtype)
    grid = functional.affine_grid(send(theta, images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False, padding_mode="border")


def _boxes(count: int, height: int, width: int, generator: torch.Generator, least: float) -> Tensor:
    """Top, left, height and width of a part of each image, whole pixels as float64 ``[count, 4]``."""
    uniform = torch.rand(2, _TRIES, count, generator=generator, dtype=torch.float64)
    area = height * width * (least + (1 - least) * uniform[0])
    low, high = (math.log(ratio) for ratio in _RATIOS)
    ratio = (low + (high - low) * uniform[1]).exp()
    wide, tall = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
    first = fits.long().argmax(dim=0, keepdim=True)
    found = fits.any(dim=0)
    wide, tall = (
        torch.where(found, side.gather(0, first)[0], whole) for side, whole in ((wide, width), (tall, height))
    )
    place = torch.rand(2, count, generator=generator, dtype=torch.float64)
    top, left = (place[0] * (height - tall + 1)).floor(), (place[1] * (width - wide + 1)).floor()
    return torch.stack([top, left, tall, wide], dim=1)


def cutmix(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Mix]:
    """One rectangle of every image replaced by another image's (CutMix, arXiv 1905.04899, alpha 1).

    Args:
        images: floats ``[B, C, H, W]``.
        generator: on the CPU.

    Returns:
        The mixed images, and whose parts they hold.
    """
    count, _, height, width = images.shape
    partners = torch.randperm(count, generator=generator)
    # Beta(1, 1) is uniform.
    kept, down, across = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    tall, wide = int(height * math.sqrt(1 - kept)), int(width * math.sqrt(1 - kept))
    top, left = int(down * height) - tall // 2, int(across * width) - wide // 2
    rows, columns = slice(max(0, top), max(0, top + tall)), slice(max(0, left), max(0, left + wide))
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[send(partners, images.device)][:, :, rows, columns]
    pasted = (min(height, rows.stop) - rows.start) * (min(width, columns.stop) - columns.start)
    return mixed, Mix(partners, 1 - max(0, pasted) / (height * width))
