"""Sets of chosen classes, and sets put together: of more images, or of more classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.origins import MERGED
from gsdd_runtime.versions import VERSION
from gsdd_runtime.wording import counted


def select_classes(distilled_set: DistilledSet, classes: Sequence[str | int]) -> DistilledSet:
    """The images of some classes, which are numbered anew in the order that they are given in.

    With soft labels, an image is of its likeliest class, and keeps the shares of the chosen classes.

    Args:
        distilled_set: to choose from.
        classes: names of it, or positions from 0.

    Raises:
        InputError: no class, one that is not there or is given twice, or one without an image.
    """
    positions = [_position(distilled_set, one) for one in classes]
    if not positions or len(set(positions)) < len(positions):
        raise InputError("give at least one class, and none twice")
    hard = distilled_set.hard_labels
    rows = torch.cat([torch.nonzero(hard == position).flatten() for position in positions])
    empty = next((one for one, place in zip(classes, positions, strict=True) if not bool((hard == place).any())), None)
    if empty is not None:
        raise InputError(f"class {empty} has no image in the set: leave it out")
    if distilled_set.labels.dim() == 2:
        labels = distilled_set.labels[rows][:, positions]
    else:
        numbers = torch.full((distilled_set.classes,), -1, dtype=torch.int64)
        numbers[positions] = torch.arange(len(positions))
        labels = numbers[hard[rows]]
    names = distilled_set.class_names
    told = {"of_classes": distilled_set.classes, "of_data": distilled_set.fingerprint}
    return distilled_set.changed(
        **{distilled_set.representation: distilled_set.rows(rows)},
        labels=labels,
        class_names=[str(one) if names is None else names[one] for one in positions],
        options={**distilled_set.options, "selected": {"classes": positions, **told}},
        # That of the data with these classes alone is another.
        fingerprint=None,
    )


def _position(distilled_set: DistilledSet, one: str | int) -> int:
    names = distilled_set.class_names or ()
    if one in names:
        return names.index(str(one))
    try:
        position = int(one)
    except ValueError:
        position = -1
    if not 0 <= position < distilled_set.classes:
        known = f"its classes are {', '.join(names[:20])}" if names else f"it has {distilled_set.classes}, from 0"
        raise InputError(f"the set has no class {one!r}: {known}")
    return position


def merge_sets(
    sets: Mapping[str, DistilledSet], *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> DistilledSet:
    """One set of all images, class after class: where class names are the same, of more images; else of more classes.

    Args:
        sets: by name, at least two; their classes are joined by name, in the order that they come in. Sets without
            names are of the same classes.
        mean, std: that networks take all images by, in place of the sets' own. Images are in pixel units, so any that
            is the same for all will do.

    Raises:
        InputError: sets of another size, number of channels, representation, kind of labels or preparation.
    """
    if len(sets) < 2:
        raise InputError("there is nothing to merge: give at least two sets")
    (first_name, first), *others = sets.items()
    stated = mean is not None or std is not None
    for name, one in others:
        _check_alike(first_name, first, name, one, stated)
    names = _joined_names(sets)
    images = _padded([one.rows() for one in sets.values()])
    labels = [_renumbered(one, names) for one in sets.values()]
    order = torch.cat([_hard(each) for each in labels]).argsort(stable=True)
    fingerprints = {one.fingerprint for one in sets.values()}
    trainings = [one.training for one in sets.values()]
    same_classes = all(one.classes == len(names or range(first.classes)) for one in sets.values())
    return DistilledSet(
        **{"gaussians": None, first.representation: torch.cat(images)[order]},  # type: ignore[arg-type]
        labels=torch.cat(labels)[order],
        height=first.height,
        width=first.width,
        class_names=names,
        mean=mean if stated else first.mean,
        std=std if stated else first.std,
        zca=None if stated else first.zca,
        ipc=_sum([one.ipc for one in sets.values()]) if same_classes else _common([one.ipc for one in sets.values()]),
        gpc=_sum([one.gpc for one in sets.values()]) if same_classes else _common([one.gpc for one in sets.values()]),
        method=_common([one.method for one in sets.values()]) or MERGED,
        options={"merged": [_origin(one) for one in sets.values()]},
        fingerprint=first.fingerprint if len(fingerprints) == 1 and same_classes else None,
        training=trainings[0] if all(each == trainings[0] for each in trainings) else None,
        versions={"gsdd-rt": VERSION},
    )


def _check_alike(first_name: str, first: DistilledSet, name: str, one: DistilledSet, stated: bool) -> None:
    for ours, theirs in (
        (f"images of {first.height}x{first.width}", f"images of {one.height}x{one.width}"),
        (counted(first.channels, "channel"), counted(one.channels, "channel")),
        (first.representation, one.representation),
        (_kind(first), _kind(one)),
    ):
        if ours != theirs:
            raise InputError(f"{first_name} has {ours}, {name} has {theirs}: merge sets that are alike")
    if first.representation == "pixels" and first.rows([0]).shape != one.rows([0]).shape:
        raise InputError(f"{first_name} and {name} hold pixels of different sizes: merge sets that are alike")
    if not stated and not first.preparation.equals(one.preparation):
        raise InputError(
            f"{first_name} and {name} are prepared for networks by another mean and std, or whitening: give --mean and "
            "--std to take for all, since images themselves are in pixel units"
        )
    if (first.class_names is None) != (one.class_names is None) or (
        first.class_names is None and first.classes != one.classes
    ):
        raise InputError(f"{first_name} and {name}: without the names of all classes, both must have the same number")


def _kind(one: DistilledSet) -> str:
    return "hard labels" if one.labels.dim() == 1 else "soft labels"


def _joined_names(sets: Mapping[str, DistilledSet]) -> list[str] | None:
    if next(iter(sets.values())).class_names is None:
        return None
    return list(dict.fromkeys(name for one in sets.values() for name in one.class_names or ()))


def _renumbered(one: DistilledSet, names: Sequence[str] | None) -> Tensor:
    """Labels by the joined classes."""
    if names is None or one.class_names is None:
        return one.labels
    places = torch.tensor([names.index(name) for name in one.class_names])
    if one.labels.dim() == 1:
        return places[one.labels]
    wide = torch.zeros(len(one), len(names), dtype=one.labels.dtype)
    wide[:, places] = one.labels
    return wide


def _hard(labels: Tensor) -> Tensor:
    return labels if labels.dim() == 1 else labels.argmax(dim=1)


def _padded(images: Sequence[Tensor]) -> list[Tensor]:
    """Gaussians of as many an image: those that are missing are all zero, which draws nothing."""
    if images[0].dim() == 4:
        return list(images)
    most = max(one.shape[1] for one in images)
    return [torch.nn.functional.pad(one, (0, 0, 0, most - one.shape[1])) for one in images]


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _common(values: Sequence[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else None


def _origin(one: DistilledSet) -> dict[str, Any]:
    return {
        "images": len(one), "classes": one.classes, "method": one.method, "seed": one.seed, "ipc": one.ipc,
        "gpc": one.gpc, "fingerprint": one.fingerprint,
    }  # fmt: skip
