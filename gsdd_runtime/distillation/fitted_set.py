"""Fitting a pixel set: the same images as Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gsdd_runtime.distillation.fit import fit_images
from gsdd_runtime.distillation.options import DEFAULT_FIT_STEPS
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.origins import FITTED
from gsdd_runtime.splatting.gaussians import storage_budget
from gsdd_runtime.versions import VERSION
from gsdd_runtime.wording import counted


@dataclass(frozen=True)
class FittedSet:
    """A set of Gaussians fitted to another's images.

    Attributes:
        distilled_set: the Gaussians, with the labels and all that training needs.
        psnr: mean over images, in dB for a range of 1, of them against the images, which are cut to [0, 1].
        cut: the share of values that lay outside [0, 1].
    """

    distilled_set: DistilledSet
    psnr: float
    cut: float


def fit_set(
    distilled_set: DistilledSet,
    *,
    ipc: int | None = None,
    gpc: int | None = None,
    count: int | None = None,
    steps: int = DEFAULT_FIT_STEPS,
    seed: int = 0,
    device: str = "auto",
    progress: Reporter = silent,
) -> FittedSet:
    """Gaussians that reproduce the images of a set.

    Args:
        distilled_set: any; its images are drawn at the native size.
        ipc: the storage, as that of ``ipc`` float32 pixel images per class, which says how many Gaussians an image
            gets; or
        count: Gaussians an image. One of the two is needed.
        gpc: images of each class that are taken, its first ones; all if None, as many of each class.
        steps, seed, device, progress: see ``fit_images``.

    Raises:
        InputError: both or none of ``ipc`` and ``count``, a class with fewer images, an option out of range.
    """
    if (ipc is None) == (count is None):
        raise InputError("give either ipc, the storage, or the number of Gaussians an image")
    rows, each = _rows(distilled_set, gpc)
    if count is None:
        if ipc is None or ipc < 1:
            raise InputError(f"ipc must be a whole number of at least 1, got {ipc}")
        size = distilled_set.height, distilled_set.width
        count = storage_budget(*size, distilled_set.channels, ipc, each)
    images = distilled_set.decode(rows)
    cut = float(((images < 0) | (images > 1)).float().mean())
    found = fit_images(images.clamp(0, 1), count, steps=steps, seed=seed, device=device, progress=progress)
    made = distilled_set.changed(
        pixels=None,
        gaussians=found.gaussians.to(torch.bfloat16),
        labels=distilled_set.labels[rows],
        class_names=distilled_set.class_names,
        ipc=ipc,
        gpc=each,
        method=FITTED,
        options={"of": distilled_set.method, "options": distilled_set.options, "fit_steps": steps},
        seed=seed,
        versions={"gsdd-rt": VERSION, "torch": torch.__version__},
    )
    return FittedSet(made, float(found.psnr.mean()), cut)


def _rows(distilled_set: DistilledSet, gpc: int | None) -> tuple[Tensor, int]:
    """The images that are taken, and how many of each class."""
    hard = distilled_set.hard_labels
    counts = hard.bincount(minlength=distilled_set.classes)
    least, most = int(counts.min()), int(counts.max())
    if gpc is None and least != most:
        raise InputError(f"classes have {least} to {most} images: say by gpc how many of each to take")
    each = most if gpc is None else gpc
    if not 1 <= each <= least:
        name = (distilled_set.class_names or range(distilled_set.classes))[int(counts.argmin())]
        raise InputError(f"gpc must be from 1 to the {counted(least, 'image')} of class {name}, got {each}")
    rows = [torch.nonzero(hard == index).flatten()[:each] for index in range(distilled_set.classes)]
    return torch.cat(rows), each
