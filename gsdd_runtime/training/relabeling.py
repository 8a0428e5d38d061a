"""Soft labels written into a set: what a teacher sees in its images."""

from __future__ import annotations

import torch

from gsdd_runtime import ranks
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.teacher import Teacher, check_classes
from gsdd_runtime.wording import counted

# Images that the teacher is shown at once.
_BATCH = 256


def relabel(
    distilled_set: DistilledSet,
    teacher: Teacher,
    *,
    temperature: float = 1.0,
    device: str = "auto",
    progress: Reporter = silent,
) -> DistilledSet:
    """A set with a teacher's labels, float16 ``[M, classes]``: softmax at a temperature, averaged over its networks.

    The images are drawn at the teacher's size; the processes that torchrun starts share them. The labels count among
    the set's bytes, and are what everything that trains on it takes.

    Args:
        distilled_set: its own labels are replaced.
        teacher: knows the set's classes.
        temperature: that logits are divided by; above 1 labels are softer.
        device: of the teacher.
        progress: told of every batch of this process.

    Raises:
        InputError: another number of channels or classes, other class names, or a temperature that is not above 0.
    """
    if not 0 < temperature < float("inf"):
        raise InputError(f"temperature must be above 0, got {temperature}")
    check_classes(teacher, distilled_set.classes, distilled_set.class_names)
    channels = teacher.preparation.shape[0]
    if channels != distilled_set.channels:
        raise InputError(
            f"the teacher {teacher.name} takes images of {counted(channels, 'channel')}, "
            f"the set has {distilled_set.channels}"
        )
    where = resolve_device(device)
    teacher = teacher.to(where)
    together = ranks.joined()
    # Whole batches to each process: what a batch holds has a part in its last digits.
    batches = torch.arange(len(distilled_set)).split(_BATCH)
    labels = torch.zeros(len(distilled_set), teacher.classes)
    for at, number in enumerate(own := together.own(len(batches))):
        images = distilled_set.decode(batches[number], *teacher.size)
        labels[batches[number]] = teacher.labels(images.to(where), temperature).half().float().cpu()
        progress(Progress("relabel", at + 1, len(own)))
    together.add_up([labels])
    told = {"teacher": teacher.name, "networks": len(teacher), "temperature": temperature}
    return distilled_set.changed(
        labels=labels.half(),
        class_names=distilled_set.class_names or teacher.class_names,
        options={**distilled_set.options, "relabeled": told},
    )
