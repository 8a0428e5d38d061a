"""Several sets, networks and sizes by one protocol: one document, which is one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from gsdd_runtime import networks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate, evaluate_whole, with_statistics
from gsdd_runtime.evaluation.real_test import check_fit
from gsdd_runtime.evaluation.result import EvaluationResult, figures
from gsdd_runtime.networks import Size
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet


@dataclass(frozen=True)
class Compared:
    """One cell: networks of one kind, trained on one set at one size."""

    name: str
    result: EvaluationResult


def compare(
    sets: Mapping[str, DistilledSet | None],
    data_at: Callable[[Size | None], RealData],
    *,
    architectures: Sequence[str | None] = (None,),
    sizes: Sequence[Size | None] = (None,),
    progress: Reporter = silent,
    **training: Any,
) -> list[Compared]:
    """Evaluates each set with each network at each size, once it is known that all of them can be.

    Args:
        sets: by name; None for all training images of the data.
        data_at: reads the real data at a size; None for its own.
        architectures: names of networks; None for the default of a size.
        sizes: that sets are decoded at, and data is read at; None for their own.
        progress: told of every network.
        training: as of :func:`gsdd_runtime.evaluation.accuracy.evaluate`.

    Raises:
        InputError: no set, a set and data that do not fit together, an option out of range.
    """
    if not sets:
        raise InputError("there is no set to evaluate: give at least one")
    data = {size: data_at(size) for size in dict.fromkeys(sizes)}
    cells = [(name, one, size, kind) for name, one in sets.items() for size in data for kind in architectures]
    for _, one, size, kind in cells:
        _check(one, data[size], size, kind)
    found = []
    for name, one, size, kind in cells:
        words = " ".join(filter(None, (name, kind, size and f"{size[0]}x{size[1]}")))
        tell = _prefixed(words, progress) if len(cells) > 1 else progress
        if one is None:
            result = evaluate_whole(data[size], network=kind, progress=tell, **training)
        else:
            result = evaluate(one, data[size], network=kind, size=size, progress=tell, **training)
        found.append(Compared(name, result))
    return found


def comparison_document(found: Sequence[Compared], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """All of it as JSON values.

    Returns:
        ``protocol``, as given; ``results``, an entry for each set, size and network, see ``EvaluationResult.to_dict``;
        ``over_sets``, for each size and network of several sets, mean and deviation of the sets' means.
    """
    results = []
    for each in found:
        facts = each.result.to_dict()
        results.append({**facts, "set": {"name": each.name, **facts["set"]}})
    return {"protocol": dict(protocol), "results": results, "over_sets": _over_sets(found)}


def _over_sets(found: Sequence[Compared]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, Size], list[EvaluationResult]] = {}
    for each in found:
        groups.setdefault((each.result.network, each.result.size), []).append(each.result)
    return [
        {
            "network": network,
            "size": list(size),
            "sets": len(group),
            "last_epoch": figures([result.last_epoch_mean for result in group]),
            "best_epoch": figures([result.best_epoch_mean for result in group]) if group[0].tests > 1 else None,
        }
        for (network, size), group in groups.items()
        if len(group) > 1
    ]


def _check(distilled_set: DistilledSet | None, data: RealData, size: Size | None, kind: str | None) -> None:
    """Before hours are spent: can that network be trained on the set and tested on the data?"""
    if distilled_set is None:
        shape = data.height, data.width
    else:
        shape = (distilled_set.height, distilled_set.width) if size is None else size
        check_fit(distilled_set, data, shape)
        with_statistics(distilled_set, data).preparation.for_size(*shape)
    with torch.device("meta"):
        networks.build(networks.chosen(kind, shape), data.channels, data.classes, shape, seed=0)


def _prefixed(name: str, progress: Reporter) -> Reporter:
    return lambda report: progress(replace(report, phase=f"{name}: {report.phase}"))
