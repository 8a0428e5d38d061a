"""Labelling every augmented view of a training before it: what is stored in place of the teacher."""

from __future__ import annotations

import torch

from gsdd_runtime import ranks
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.recipe import choose_recipe
from gsdd_runtime.training.teacher import Teacher, check_classes
from gsdd_runtime.training.trainer import Examples, views
from gsdd_runtime.training.view_labels import ViewLabels, images_digest, packed, top_dtype, view_generator
from gsdd_runtime.wording import counted

DEFAULT_RECIPE = "sre2l"
# Classes that are told apart, where no number of them is asked for and there are more.
DEFAULT_TOP = 10


def label_views(
    distilled_set: DistilledSet,
    teacher: Teacher,
    *,
    epochs: int,
    recipe: str = DEFAULT_RECIPE,
    batch_size: int | None = None,
    top: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Reporter = silent,
) -> ViewLabels:
    """What ``teacher`` says of every image of a set as each epoch of a training by ``recipe`` changes it.

    A training that takes these labels sees the same views: they follow from ``seed``. The processes that torchrun
    starts share the epochs.

    Args:
        distilled_set: drawn at the teacher's size, with mean and std or a ``zca``.
        teacher: knows the set's classes.
        epochs: to label; a training may take the first of them.
        recipe: of :data:`gsdd_runtime.training.recipe.RECIPES`; its temperature divides the teacher's logits.
        batch_size: images of a step of that training, among which images are mixed; the recipe's if None.
        top: classes of a view that are told apart, at least 1 and below the number of classes, with which it is all of
            them; ``DEFAULT_TOP`` where there are more than that.
        seed: of the views.
        device: of the teacher.
        progress: told of every epoch of this process.

    Raises:
        InputError: other classes or another number of channels, a number out of range, a set that nothing prepares.
    """
    check_classes(teacher, distilled_set.classes, distilled_set.class_names)
    for name, value in (("epochs", epochs), ("top", 1 if top is None else top)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    if distilled_set.classes < 2:
        raise InputError("labels tell classes apart, and the set has one")
    top = min(DEFAULT_TOP, distilled_set.classes - 1) if top is None else top
    if top >= distilled_set.classes:
        raise InputError(f"top must be below the {counted(distilled_set.classes, 'class')} of the set, got {top}")
    chosen = choose_recipe(
        recipe, facts=distilled_set.training, images=len(distilled_set), classes=distilled_set.classes,
        network=teacher.network or "", epochs=epochs,
        batch_size=batch_size,
    ).recipe  # fmt: skip
    where = resolve_device(device)
    asked = teacher.for_training(distilled_set.preparation, teacher.size).to(where)
    examples = Examples(distilled_set, where, teacher.size)
    shape = (epochs, len(distilled_set))
    classes = torch.zeros(*shape, top, dtype=top_dtype(distilled_set.classes))
    shares = torch.zeros(*shape, top + 1, dtype=torch.float16)
    together = ranks.joined()
    for at, epoch in enumerate(own := together.own(epochs)):
        for indices, images, _, _ in views(examples, chosen, view_generator(seed, epoch + 1)):
            labels = asked.labels(images, chosen.temperature).cpu()
            classes[epoch, indices], shares[epoch, indices] = packed(labels, top)
        progress(Progress("relabel", at + 1, len(own)))
    if together.count > 1:
        # Both are whole in float32: halves, and numbers of classes below a million.
        sums = [classes.float(), shares.float()]
        together.add_up(sums)
        classes, shares = sums[0].to(classes.dtype), sums[1].half()
    return ViewLabels(
        teacher.name, classes, shares, distilled_set.classes, distilled_set.class_names or teacher.class_names,
        teacher.name, recipe, chosen, seed, images_digest(distilled_set, teacher.size),
    )  # fmt: skip
