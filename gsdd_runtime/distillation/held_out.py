"""Training images that a run does not see, to judge its sets by."""

from __future__ import annotations

from dataclasses import replace

import torch

from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.wording import counted

# A run has to keep more of a class than it holds out.
MOST = 0.5


def hold_out(data: RealData, share: float, seed: int) -> tuple[RealData, RealData]:
    """Takes a share of each class's training images away.

    Args:
        data: the real images.
        share: of each class, above 0 and at most ``MOST``; one image at least.
        seed: of the run, which fixes the choice.

    Returns:
        The data without them, and the data with them in place of its test images. Mean, deviation, whitening and
        fingerprint are those of all training images.

    Raises:
        InputError: another share; a class with a single image; no memory for the images that are kept.
    """
    if not 0 < share <= MOST:
        raise InputError(f"held_out must be above 0 and at most {MOST}, got {share}: it is a share of each class")
    chosen = []
    for index, name in enumerate(data.class_names):
        members = (data.train_labels == index).nonzero().flatten()
        count = max(1, round(share * len(members)))
        if count >= len(members):
            raise InputError(
                f"class {name!r} of {data.name} has {counted(len(members), 'training image')}, none of which can be "
                "held out: judge on the test images, or leave the class out"
            )
        order = torch.randperm(len(members), generator=derived_generator(seed, "held out", index))
        chosen.append(members[order[:count]])
    held = torch.cat(chosen).sort().values
    kept = torch.ones(len(data.train_labels), dtype=torch.bool)
    kept[held] = False
    size = len(data.train_labels) * data.train_images[0].numel()
    check_memory(size, f"holding training images of {data.name} out", "judge on the test images, which copies nothing")
    seen = replace(data, train_images=data.train_images[kept], train_labels=data.train_labels[kept])
    judged = replace(data, test_images=data.train_images[held], test_labels=data.train_labels[held])
    return seen, judged
