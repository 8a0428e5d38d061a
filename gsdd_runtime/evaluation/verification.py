"""Whether a set is worth what its file says: the stored accuracies measured again, by their own protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.networks import Size
from gsdd_runtime.networks.outside import is_bound
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet, check_distilled_set
from gsdd_runtime.training.teacher import Teacher
from gsdd_runtime.training.view_labels import ViewLabels

# Shares that two measurements may differ by at least: networks differ, and so do machines.
LEAST_TOLERANCE = 0.005
_CHANGES = ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "augment")


def verify_accuracy(
    distilled_set: DistilledSet,
    data_at: Callable[[Size | None], RealData],
    *,
    within: float | None = None,
    network: str | None = None,
    teacher: Teacher | ViewLabels | None = None,
    device: str = "auto",
    progress: Reporter = silent,
) -> list[dict[str, Any]]:
    """Measures each accuracy that a set states again.

    Args:
        distilled_set: with ``accuracy``.
        data_at: reads the real data at a size.
        within: the share that means may differ by; the stated deviation over networks if None, at least
            ``LEAST_TOLERANCE``.
        network: where the file names code of the user's own: its name again.
        teacher: where one labelled what the networks were trained on.
        device: of the networks.
        progress: told of every network.

    Returns:
        For each stated one: ``network``, ``size``, ``stated`` and ``measured`` (mean and deviation), ``difference``,
        ``within``, ``agrees``.

    Raises:
        InputError: the set states none, or one that is incomplete, of other data, of one's own code that is not named
            again, or of a teacher that is not given.
    """
    check_distilled_set(distilled_set)
    if not distilled_set.accuracy:
        raise InputError("the set states no accuracy: measure one with gsdd-rt eval --store")
    for stated in distilled_set.accuracy:
        _check(stated, network, teacher)
    return [
        _verified(distilled_set, stated, data_at, within, teacher if stated.get("teacher") else None, device, progress)
        for stated in distilled_set.accuracy
    ]


def _check(stated: Mapping[str, Any], network: str | None, teacher: Teacher | ViewLabels | None) -> None:
    missing = next(
        (name for name in (*_CHANGES, "recipe", "size", "networks", "seed", "data") if name not in stated), ""
    )
    if missing:
        raise InputError(f"the stated accuracy lacks its {missing}: measure it anew with gsdd-rt eval --store")
    name = stated["network"]
    if is_bound(name) and name != network:
        raise InputError(
            f"the accuracy is that of {name}, code of your own that is not run because a file names it: give its name "
            f"too, if you trust it (--network {name})"
        )
    if stated.get("teacher") and teacher is None:
        raise InputError(f"the networks learned from the teacher {stated['teacher']}: give it with --teacher")


def _verified(
    distilled_set: DistilledSet,
    stated: Mapping[str, Any],
    data_at: Callable[[Size | None], RealData],
    within: float | None,
    teacher: Teacher | ViewLabels | None,
    device: str,
    progress: Reporter,
) -> dict[str, Any]:
    size = (stated["size"][0], stated["size"][1])
    data = data_at(size)
    if not data.has_fingerprint(stated["data"].get("fingerprint") or ""):
        raise InputError(f"the accuracy was measured on {stated['data'].get('name')}, and {data.name} is other data")
    result = evaluate(
        distilled_set, data, network=stated["network"], recipe=stated["recipe"], repeats=stated["networks"],
        seed=stated["seed"], size=size, teacher=teacher, device=device, progress=progress,
        **{name: stated[name] for name in _CHANGES},
    ).to_dict()  # fmt: skip
    tolerance = max(stated["last_epoch"].get("std") or 0.0, LEAST_TOLERANCE) if within is None else within
    difference = result["last_epoch"]["mean"] - stated["last_epoch"]["mean"]
    return {
        "network": stated["network"],
        "size": list(size),
        "stated": dict(stated["last_epoch"]),
        "measured": result["last_epoch"],
        "difference": difference,
        "within": tolerance,
        "agrees": abs(difference) <= tolerance,
    }
