"""Stored soft labels of every augmented view: what a teacher said of each image in each epoch of a training.

As SRe2L's code keeps them (FKD, Shen and Xing, arXiv 2112.01528): the likeliest classes with their shares, and the rest
as one number, in half precision. The views themselves follow from a seed and need no room.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets import checks
from gsdd_runtime.sets.container import Container, Kind, open_container, write_container
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.recipe import Recipe
from gsdd_runtime.wording import counted

KIND = Kind(
    name="a teacher's labels of views",
    key="gsdd_view_labels",
    newest=1,
    remedy="make them with `gsdd-rt relabel SET --views EPOCHS`",
    again="copy the file again, or make the labels again",
)
# Of a recipe, what decides the views and their labels.
DECIDES = ("batch_size", "augment", "crop_scale", "mixed", "temperature")
# Shares of a row sum to 1 but for half precision; of a thousand classes each is off by 5e-4 of itself.
_SUM_WITHIN = 1e-2
# Rows that are checked at once.
_CHECKED = 1 << 16


@dataclass(frozen=True)
class ViewLabels:
    """Labels of ``epochs`` passes over a set, in which each image is seen once.

    Attributes:
        name: of what keeps them, for messages and records.
        top: the likeliest classes of each view, ``[epochs, M, K]`` of whole numbers, none twice; K is below the number
            of classes.
        shares: theirs, and the rest, which the other classes have alike: float16 ``[epochs, M, K + 1]``.
        classes: of the teacher.
        class_names: or None where nothing tells them.
        teacher: its name.
        recipe: name of the one that views were made by, and
        made_by: the recipe itself.
        seed: of the views.
        images: digest of the set's images, see :func:`images_digest`.
    """

    name: str
    top: Tensor
    shares: Tensor
    classes: int
    class_names: tuple[str, ...] | None
    teacher: str
    recipe: str
    made_by: Recipe
    seed: int
    images: str

    @property
    def epochs(self) -> int:
        return len(self.top)

    @property
    def nbytes(self) -> int:
        """Bytes that the labels take; they count as the set's."""
        return sum(part.numel() * part.element_size() for part in (self.top, self.shares))

    def generator(self, epoch: int) -> torch.Generator:
        """What orders the images of ``epoch``, from 1, and draws their changes."""
        return view_generator(self.seed, epoch)

    def of(self, epoch: int, indices: Tensor, device: torch.device) -> Tensor:
        """Shares of the classes, float32 ``[B, classes]`` that sum to 1, of the views of ``epoch``, from 1.

        Args:
            indices: of the images, int64 ``[B]`` on the CPU.
        """
        top, shares = self.top[epoch - 1, indices].long(), self.shares[epoch - 1, indices].float()
        rest = shares[:, -1:] / (self.classes - top.shape[1])
        labels = rest.repeat(1, self.classes).scatter_(1, top, shares[:, :-1])
        return (labels / labels.sum(dim=1, keepdim=True)).to(device)

    def check(self, distilled_set: DistilledSet, recipe: Recipe, size: tuple[int, int]) -> None:
        """Raises InputError unless a training on ``distilled_set`` by ``recipe`` has the views that these are of."""
        if images_digest(distilled_set, size) != self.images:
            raise InputError(
                f"the labels {self.name} are of views of other images, or of another size: label this set's views"
            )
        if recipe.epochs > self.epochs:
            raise InputError(
                f"the labels {self.name} are of {counted(self.epochs, 'epoch')}, fewer than the {recipe.epochs} of the "
                "training: lower --epochs, or label more views"
            )
        for name in DECIDES:
            ours, theirs = getattr(self.made_by, name), getattr(recipe, name)
            if ours != theirs:
                raise InputError(
                    f"the labels {self.name} are of views with {name} {ours}, and the training has {theirs}: leave "
                    f"the recipe to them ({self.recipe}), or label its views"
                )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        facts = {
            "classes": self.classes,
            "class_names": None if self.class_names is None else list(self.class_names),
            "teacher": self.teacher, "recipe": self.recipe, "made_by": asdict(self.made_by), "seed": self.seed,
            "images": self.images,
        }  # fmt: skip
        write_container(path, KIND, facts, {"top": self.top, "shares": self.shares})


def view_labels_description(labels: ViewLabels) -> dict[str, Any]:
    """Facts by name, all of them JSON values; ``told_apart`` are the classes of a view that have a share of their own.

    ``views`` are images times epochs, ``images_digest`` is of the set that they are of.
    """
    by, (epochs, images, told) = labels.made_by, labels.top.shape
    return {
        "teacher": labels.teacher,
        "views": epochs * images,
        "images": images,
        "epochs": epochs,
        "classes": labels.classes,
        "told_apart": told,
        "recipe": labels.recipe,
        "augment": by.augment,
        **{name: getattr(by, name) for name in DECIDES if name != "augment"},
        "seed": labels.seed,
        "payload_bytes": labels.nbytes,
        "dtypes": {"top": _name(labels.top.dtype), "shares": _name(labels.shares.dtype)},
        "class_names": None if labels.class_names is None else list(labels.class_names),
        "images_digest": labels.images,
    }


def as_labelled(
    teacher: object, recipe: str | None, epochs: int | None, batch_size: int | None
) -> tuple[str | None, int | None, int | None]:
    """Recipe, epochs and batch size of a training: where nothing is asked for, those that its views are labelled for.

    The batch size goes with the recipe: another one than the labels' keeps its own.
    """
    if not isinstance(teacher, ViewLabels):
        return recipe, epochs, batch_size
    if batch_size is None and recipe in (None, teacher.recipe):
        batch_size = teacher.made_by.batch_size
    return recipe or teacher.recipe, epochs or teacher.epochs, batch_size


def view_generator(seed: int, epoch: int) -> torch.Generator:
    """Of one epoch, from 1: epochs can be labelled apart."""
    return derived_generator(seed, "views", epoch)


def images_digest(distilled_set: DistilledSet, size: tuple[int, int]) -> str:
    """Of the images as they are stored, and the height and width that they are drawn at."""
    rows = distilled_set.rows().detach().cpu().contiguous()
    facts = (tuple(rows.shape), str(rows.dtype), distilled_set.height, distilled_set.width, tuple(size))
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(rows.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def top_dtype(classes: int) -> torch.dtype:
    """The smallest type that holds the number of a class."""
    return torch.uint8 if classes <= 256 else torch.int16 if classes <= 1 << 15 else torch.int32


def packed(labels: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Shares of the classes, float32 ``[B, classes]``, as ``top`` classes ``[B, top]`` and float16 ``[B, top + 1]``."""
    shares, classes = labels.topk(top, dim=1)
    rest = (1 - shares.sum(dim=1, keepdim=True)).clamp_min(0)
    return classes.to(top_dtype(labels.shape[1])), torch.cat([shares, rest], dim=1).half()


def load_view_labels(path: str | os.PathLike[str]) -> ViewLabels:
    """Reads a file that :meth:`ViewLabels.save` wrote.

    Raises:
        InputError: it cannot be read, is no such file, is of a newer format, or what it holds are no labels.
    """
    container = open_container(path, KIND)
    facts = _checked(container)
    tensors = container.copies()
    name = container.path.name if container.path.name.isprintable() else ascii(container.path.name)
    found = ViewLabels(name, tensors.get("top", _NONE), tensors.get("shares", _NONE), **facts)
    _check_tensors(container, found, set(tensors))
    return found


_NONE = torch.empty(0)


def _checked(container: Container) -> dict[str, Any]:
    where, given = str(container.path), container.fields
    if not checks.is_integer(given.get("classes")) or not 2 <= given["classes"] <= 10**6:
        raise InputError(f"{where}: classes must be 2 to 1000000, got {given.get('classes')!r}")
    if not checks.is_integer(given.get("seed")) or given["seed"] < 0:
        raise InputError(f"{where}: seed must be a whole number of at least 0, got {given.get('seed')!r}")
    for name in ("teacher", "recipe", "images"):
        if not isinstance(given.get(name), str):
            raise InputError(f"{where}: {name} must be a text, got {given.get(name)!r}")
    names = given.get("class_names")
    if names is not None:
        checks.check_class_names(where, names, given["classes"])
    return {
        "classes": given["classes"], "class_names": None if names is None else tuple(names),
        "teacher": given["teacher"], "recipe": given["recipe"], "made_by": _recipe(where, given.get("made_by")),
        "seed": given["seed"], "images": given["images"],
    }  # fmt: skip


def _recipe(where: str, given: object) -> Recipe:
    kinds = {one.name: type(one.default) for one in fields(Recipe)}
    if not isinstance(given, Mapping) or given.keys() != kinds.keys():
        raise InputError(f"{where}: made_by must be a recipe: {KIND.again}")
    for name, value in given.items():
        allowed = (str, type(None)) if name == "augment" else (int, float) if kinds[name] is float else (kinds[name],)
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise InputError(f"{where}: made_by has {name} {value!r}: {KIND.again}")
    try:
        return Recipe(**given)
    except InputError as error:
        raise InputError(f"{where}: made_by: {error}") from error


def _check_tensors(container: Container, found: ViewLabels, names: set[str]) -> None:
    where, top, shares = str(container.path), found.top, found.shares
    if names != {"top", "shares"}:
        raise InputError(f"{where}: it must hold the tensors top and shares alone: {KIND.again}")
    dtype = top_dtype(found.classes)
    if top.dtype != dtype or top.dim() != 3 or 0 in top.shape or top.shape[2] >= found.classes:
        raise InputError(
            f"{where}: top must be {_name(dtype)} [epochs, images, 1 to {found.classes - 1}], got {_form(top)}"
        )
    expected = (*top.shape[:2], top.shape[2] + 1)
    if shares.dtype != torch.float16 or shares.shape != expected:
        raise InputError(f"{where}: shares must be float16 {list(expected)}, got {_form(shares)}")
    for part, of_part in zip(top.flatten(0, 1).split(_CHECKED), shares.flatten(0, 1).split(_CHECKED), strict=True):
        whole = part.long()
        if int(whole.min()) < 0 or int(whole.max()) >= found.classes:
            raise InputError(f"{where}: top names a class that is not among the {found.classes}: {KIND.again}")
        in_order = whole.sort(dim=1).values
        if bool((in_order[:, 1:] == in_order[:, :-1]).any()):
            raise InputError(f"{where}: top names a class of a view twice: {KIND.again}")
        values = of_part.float()
        # Written so that NaN fails it.
        if not bool(((values >= 0).all(dim=1) & ((values.sum(dim=1) - 1).abs() <= _SUM_WITHIN)).all()):
            raise InputError(f"{where}: the shares of a view are below 0 or do not sum to 1: {KIND.again}")


def _form(tensor: Tensor) -> str:
    return f"{_name(tensor.dtype)} {list(tensor.shape)}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
