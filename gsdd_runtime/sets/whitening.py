"""Sets whose whitening matrix is left out of the file, with what tells the one that is fitted again from another.

The matrix of 32 x 32 images in colour takes 38 MB, a set of one image a class 0.1: whoever has the training images can
do without it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.preparation import LEFT_OUT

# Another BLAS gives another last digit; other images, or another epsilon, give other numbers by far more.
_TOLERANCE = 1e-4


def without_matrix(distilled_set: DistilledSet) -> DistilledSet:
    """The set without its ``zca``, and with a note of it in ``training``: images are prepared only once it is back.

    Raises:
        InputError: it has none.
    """
    if distilled_set.zca is None:
        raise InputError("the set holds no whitening matrix: there is nothing to leave out")
    statistics = {"mean": distilled_set.mean, "std": distilled_set.std}
    kept = {name: list(values) for name, values in statistics.items() if values is not None}
    note = {"kind": "zca", **_numbers(distilled_set.preparation.zca), **kept}
    training = {**distilled_set.training, LEFT_OUT: note}
    # Mean and std would be taken for what a network takes.
    return distilled_set.changed(zca=None, mean=None, std=None, training=training)


def is_left_out(distilled_set: DistilledSet) -> bool:
    """Whether the set's images are whitened by a matrix that it does not hold."""
    return LEFT_OUT in distilled_set.training and distilled_set.zca is None


def with_matrix(distilled_set: DistilledSet, zca: Tensor, source: str) -> DistilledSet:
    """The set with its matrix again.

    Args:
        distilled_set: one of :func:`without_matrix`.
        zca: fitted on the training images of ``source``, as messages name it.

    Raises:
        InputError: it is another matrix than the one that was left out.
    """
    note = distilled_set.training[LEFT_OUT]
    shape = (distilled_set.channels * distilled_set.height * distilled_set.width) if isinstance(note, dict) else -1
    fits = zca.shape == (shape + 1, shape)
    if not fits or any(not _alike(note.get(name), value) for name, value in _numbers(zca).items()):
        raise InputError(
            f"whitening fitted on {source} is not the one that the set was made with: give the data, size and parts "
            "that it was made from"
        )
    training = {name: value for name, value in distilled_set.training.items() if name != LEFT_OUT}
    return distilled_set.changed(zca=zca, mean=note.get("mean"), std=note.get("std"), training=training)


def _numbers(zca: Tensor | None) -> dict[str, float]:
    assert zca is not None
    exact = zca.double()
    weights = torch.arange(1, exact.shape[1] + 1, dtype=torch.float64) / exact.shape[1]
    return {
        "trace": float(exact[:-1].diagonal().sum()),
        "norm": float(exact[:-1].norm()),
        "weighted_trace": float((exact[:-1].diagonal() * weights).sum()),
        "offset": float(exact[-1].norm()),
    }


def _alike(noted: Any, value: float) -> bool:
    number = isinstance(noted, (int, float)) and not isinstance(noted, bool)
    return number and abs(noted - value) <= _TOLERANCE * max(abs(value), 1.0)
