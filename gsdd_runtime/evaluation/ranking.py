"""DD-Ranking's measures of a set: what hard labels recover, what is won over random images, and its score.

As the paper of DD-Ranking defines them (arXiv 2505.13300), of accuracies as shares from 0 to 1: its package 0.2.0 feeds
percentages into the same formula, which makes its scores others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.accuracy import evaluate, evaluate_whole, with_statistics
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.evaluation.result import EvaluationResult, figures
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet, check_distilled_set
from gsdd_runtime.training.teacher import Teacher
from gsdd_runtime.training.view_labels import ViewLabels

DEFAULT_WEIGHT = 0.5
# What random images are as many as the set's, or as large.
EQUALS = ("images", "bytes")


def hard_label_recovery(whole: float, hard: float) -> float:
    """HLR: what networks trained on the set with hard labels lack to those trained on the whole data; less is better.

    Args:
        whole, hard: accuracies, 0 to 1.
    """
    return whole - hard


def improvement_over_random(own: float, random: float) -> float:
    """IOR: what networks trained on the set have over those trained on random real images; more is better.

    Args:
        own: accuracy with the set's own labels, 0 to 1.
        random: of random real images trained on alike.
    """
    return own - random


def label_robust_score(hlr: float, ior: float, weight: float = DEFAULT_WEIGHT) -> float:
    """LRS, 0 to 1: ``(exp(a) - exp(-1)) / (e - exp(-1))`` with ``a = weight * ior - (1 - weight) * hlr``.

    Args:
        hlr, ior: as shares, -1 to 1.
        weight: of the improvement over random images.

    Raises:
        InputError: a weight outside 0 to 1, or shares that are none: percentages, for instance.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"weight must be from 0 to 1, got {weight}")
    if not (abs(hlr) <= 1 and abs(ior) <= 1):
        raise InputError(f"accuracies must be shares from 0 to 1, got differences of {hlr} and {ior}: divide by 100")
    a = weight * ior - (1 - weight) * hlr
    return (math.exp(a) - math.exp(-1)) / (math.e - math.exp(-1))


def rank(
    distilled_set: DistilledSet,
    data: RealData,
    *,
    whole: float | None = None,
    weight: float = DEFAULT_WEIGHT,
    equal: str = "images",
    teacher: Teacher | ViewLabels | None = None,
    progress: Reporter = silent,
    **training: Any,
) -> dict[str, Any]:
    """Trains and tests what the measures ask for: the set with its own and with hard labels, random images, the whole.

    Args:
        distilled_set: its soft labels, or ``teacher``, are its own labels; hard ones are their likeliest classes.
        data: real images of the same classes.
        whole: the accuracy of the whole data, 0 to 1, where it is known: trained otherwise.
        weight: see :func:`label_robust_score`.
        equal: random images are as many as the set's ``"images"``, as DD-Ranking has it, or as large in ``"bytes"``.
        teacher: labels the set's images, and the random ones, as they are augmented.
        progress: told of every network.
        training: as of :func:`gsdd_runtime.evaluation.accuracy.evaluate`.

    Returns:
        ``hlr``, ``ior``, ``lrs``, ``weight``, and ``accuracies``: mean and deviation by what was trained on.

    Raises:
        InputError: as ``evaluate``; classes of unlike size with ``equal="images"``.
    """
    check_distilled_set(distilled_set)
    if equal not in EQUALS:
        raise InputError(f"equal {equal!r} is not known: choose one of {', '.join(EQUALS)}")
    if whole is not None and not 0 <= whole <= 1:
        raise InputError(f"whole must be a share from 0 to 1, got {whole}")
    distilled_set = with_statistics(distilled_set, data)
    hard = distilled_set.changed(labels=distilled_set.hard_labels, class_names=data.class_names)
    seed = training.get("seed", 0)
    if equal == "bytes":
        random = random_real_set(data, distilled_set.nbytes // distilled_set.classes, seed=seed)
    else:
        random = random_real_set(data, per_class=_per_class(distilled_set), seed=seed)

    def told(name: str) -> Reporter:
        return lambda report: progress(replace(report, phase=f"{name}: {report.phase}"))

    found = {"hard labels": evaluate(hard, data, progress=told("hard labels"), **training)}
    soft = distilled_set.labels.dim() == 2 or teacher is not None
    if soft:
        found["own labels"] = evaluate(distilled_set, data, teacher=teacher, progress=told("own labels"), **training)
    found["random images"] = evaluate(random, data, teacher=teacher, progress=told("random images"), **training)
    if whole is None:
        found["whole data"] = evaluate_whole(data, progress=told("whole data"), **training)
    return _document(found, whole, weight, equal, len(random) // data.classes)


def _document(
    found: Mapping[str, EvaluationResult], whole: float | None, weight: float, equal: str, per_class: int
) -> dict[str, Any]:
    means = {name: result.last_epoch_mean for name, result in found.items()}
    hlr = hard_label_recovery(means["whole data"] if whole is None else whole, means["hard labels"])
    ior = improvement_over_random(means.get("own labels", means["hard labels"]), means["random images"])
    accuracies = {name: figures([repeat.at_last_epoch for repeat in result.repeats]) for name, result in found.items()}
    if whole is not None:
        accuracies["whole data"] = {"mean": whole, "std": None}
    protocol = found["hard labels"].to_dict()
    return {
        "hlr": hlr,
        "ior": ior,
        "lrs": label_robust_score(hlr, ior, weight),
        "weight": weight,
        "equal": equal,
        "random_images_per_class": per_class,
        "whole_given": whole is not None,
        "accuracies": accuracies,
        "protocol": {name: value for name, value in protocol.items() if name not in ("repeats", "per_class", "set")},
    }


def _per_class(distilled_set: DistilledSet) -> int:
    counts = torch.bincount(distilled_set.hard_labels, minlength=distilled_set.classes)
    if int(counts.min()) != int(counts.max()):
        raise InputError(
            f"classes have {int(counts.min())} to {int(counts.max())} images: compare with random images of equal bytes"
        )
    return int(counts.min())
