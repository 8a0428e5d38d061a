"""``gsdd-rt bench rate``: the test accuracy that a set's bits buy, for Gaussians and pixels, plain and coded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.markup import escape
from rich.table import Table

from gsdd_runtime.bench.machine import describe_machine
from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError, printable
from gsdd_runtime.evaluation.accuracy import evaluate, with_statistics
from gsdd_runtime.evaluation.real_test import check_fit
from gsdd_runtime.evaluation.result import EvaluationResult
from gsdd_runtime.networks import Size
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.compression import DEFAULT_SCALE, SHARES, compress
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.wording import counted

# What every set is coded by where codings are asked for: times the default steps of Gaussians; bits of a pixel.
STEP_FACTORS = (0.5, 1.0, 2.0)
PIXEL_BITS = (8, 4, 2)
# What a result says of one set, and what is the same for all.
_OF_A_POINT = ("last_epoch", "best_epoch", "repeats", "threads", "recipe", "learning_rate")
_OF_ALL = (
    "network", "epochs", "batch_size", "momentum", "weight_decay", "augment", "size", "seed", "device",
    "versions", "data",
)  # fmt: skip


@dataclass(frozen=True)
class RatePoint:
    """A set in one form.

    Attributes:
        name: of the set that was given.
        coding: how its numbers are stored, in words.
        distilled_set: as it is trained on.
        psnr: of its images against those of the set that was given, mean in dB; None for that itself.
    """

    name: str
    coding: str
    distilled_set: DistilledSet
    psnr: float | None = None


def run_rate_bench(
    sets: Mapping[str, DistilledSet],
    data: RealData,
    *,
    code: bool = False,
    network: str | None = None,
    epochs: int = 1000,
    repeats: int = 5,
    seed: int = 0,
    device: str = "auto",
    progress: Reporter = silent,
) -> dict[str, Any]:
    """Trains and tests networks on every set, all by one protocol and at the size of the data.

    Args:
        sets: by name, on the CPU.
        data: real images of the same classes.
        code: also code each set at a few steps, or bits of a pixel; those that save nothing are left out.
        network, epochs, repeats, seed, device: as of :func:`gsdd_runtime.evaluation.accuracy.evaluate`.
        progress: told of every network.

    Returns:
        A document of plain JSON types: ``machine``, ``protocol`` and ``points``, set after set. Bytes are those of all
        tensors, ``labels`` null where they are coded among the images; the file's header is left out.

    Raises:
        InputError: no set, a set and data that do not fit together, an option out of range.
    """
    if not sets:
        raise InputError("there is no set to measure: give at least one")
    size = (data.height, data.width)
    for distilled_set in sets.values():
        _check(distilled_set, data, size)
    points = [point for name, one in sets.items() for point in rate_points(name, one, code=code)]
    results = []
    for point in points:
        results.append(
            evaluate(
                point.distilled_set, data, network=network, epochs=epochs, repeats=repeats, seed=seed, device=device,
                size=size, progress=_prefixed(f"{point.name}, {point.coding}", progress),
            )
        )  # fmt: skip
    first = results[0].to_dict()
    return {
        "benchmark": "rate",
        "machine": describe_machine(),
        "protocol": {**{name: first[name] for name in _OF_ALL}, "networks": repeats},
        "points": [_facts(point, result) for point, result in zip(points, results, strict=True)],
    }


def rate_points(name: str, distilled_set: DistilledSet, *, code: bool) -> Iterator[RatePoint]:
    """The set as it is and, with ``code``, in every coding that takes fewer bytes."""
    yield RatePoint(name, _coding(distilled_set), distilled_set)
    if not code:
        return
    for words, aim in _codings(distilled_set):
        found = compress(distilled_set, **aim)
        if found.distilled_set.nbytes < distilled_set.nbytes:
            yield RatePoint(name, words, found.distilled_set, found.psnr)


def _check(distilled_set: DistilledSet, data: RealData, size: Size) -> None:
    """Before hours are spent: can networks be trained on the set and tested on the data?"""
    check_fit(distilled_set, data, size)
    with_statistics(distilled_set, data).preparation.for_size(*size)


def _codings(distilled_set: DistilledSet) -> list[tuple[str, dict[str, Any]]]:
    if distilled_set.representation == "pixels":
        return [(f"coded, {counted(bits, 'bit')}", {"pixel_bits": bits}) for bits in PIXEL_BITS]
    return [(f"coded, steps x {factor:g}", {"steps": SHARES.scaled(DEFAULT_SCALE * factor)}) for factor in STEP_FACTORS]


def _coding(distilled_set: DistilledSet) -> str:
    if distilled_set.coded is None:
        return "bfloat16"
    steps = distilled_set.coded.steps
    return f"coded, {counted(steps.bits, 'bit')}" if isinstance(steps, PixelSteps) else "coded"


def _prefixed(name: str, progress: Reporter) -> Reporter:
    return lambda report: progress(replace(report, phase=f"{name}: {report.phase}"))


def _facts(point: RatePoint, result: EvaluationResult) -> dict[str, Any]:
    one = point.distilled_set
    shape = one.rows([0]).shape
    pixels = one.representation == "pixels"
    zca = 0 if one.zca is None else one.zca.nbytes
    among = one.coded is not None and one.coded.labels
    return {
        "set": point.name,
        "coding": point.coding,
        "steps": None if one.coded is None else one.coded.to_fields()["steps"],
        "representation": one.representation,
        "images": len(one),
        "gaussians_per_image": None if pixels else shape[1],
        "downscale": one.height // shape[2] if pixels else None,
        "made": {"method": one.method, "seed": one.seed, "options": one.options},
        "bytes": {
            "images": one.image_nbytes,
            "labels": None if among else one.nbytes - one.image_nbytes - zca,
            "zca": zca,
            "all": one.nbytes,
        },
        "bits_per_class": 8 * one.nbytes / one.classes,
        "psnr": point.psnr,
        **{name: value for name, value in result.to_dict().items() if name in _OF_A_POINT},
    }


def render_rate_table(result: dict[str, Any]) -> Table:
    """What ``gsdd-rt bench rate`` prints."""
    protocol = result["protocol"]
    data, networks = escape(printable(protocol["data"]["name"])), counted(protocol["networks"], "network")
    table = Table(
        title=f"accuracy on {data}, last of {counted(protocol['epochs'], 'epoch')}, {networks} ({protocol['network']})",
        caption="Bits of images, labels and whitening, the file's header apart; dB are to the set as it is.",
    )
    for header in ("set", "stored as", "images", "bits per class", "dB", "accuracy, %"):
        table.add_column(header, justify="left" if header in ("set", "stored as") else "right")
    for point in result["points"]:
        table.add_row(
            escape(printable(point["set"])),
            f"{_kind(point)}, {point['coding']}",
            str(point["images"]),
            f"{point['bits_per_class']:,.0f}",
            "" if point["psnr"] is None else f"{point['psnr']:.1f}",
            _accuracy(point["last_epoch"]),
        )
    return table


def _kind(point: dict[str, Any]) -> str:
    if point["representation"] == "gaussians":
        return counted(point["gaussians_per_image"], "Gaussian")
    return "pixels" if point["downscale"] == 1 else f"pixels / {point['downscale']}"


def _accuracy(figures: dict[str, Any]) -> str:
    mean, deviation = figures["mean"], figures["std"]
    return f"{100 * mean:.1f}" if deviation is None else f"{100 * mean:.1f} +- {100 * deviation:.1f}"
