"""A comparison's document as a table for people, and as the rows of a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from gsdd_runtime.errors import printable
from gsdd_runtime.wording import counted

CAPTION = "Epochs are those of training on the finished set, not steps of distilling it."
BEST = "best epoch, chosen on the test images"


def comparison_text(document: dict[str, Any]) -> str:
    """The table, its first line saying what is in it. Accuracies are in per cent."""
    results = document["results"]
    first = results[0]
    epochs = ", ".join(counted(number, "epoch") for number in dict.fromkeys(result["epochs"] for result in results))
    recipes = " and ".join(dict.fromkeys(result["recipe"] for result in results))
    title = (
        f"test accuracy in %, {counted(len(first['repeats']), 'network')} each; recipe {recipes}, {epochs}; "
        f"{printable(first['data']['name'])}, {counted(first['data']['test_images'], 'test image')}"
    )
    heads, rows = _columns(results), [_row(result) for result in results]
    rows += [_row_over_sets(entry, len(heads)) for entry in document["over_sets"]]
    return "\n".join([title, *aligned([heads, *rows], left=2), CAPTION])


def per_class_text(document: dict[str, Any]) -> str:
    """Last-epoch accuracy of each class, a column for each set, size and network."""
    results = document["results"]
    heads = ["class", *(f"{printable(result['set']['name'])}, {result['network']}" for result in results)]
    rows = [
        [printable(name), *(f"{100 * result['per_class'][name]:.2f}" for result in results)]
        for name in results[0]["per_class"]
    ]
    return "\n".join(aligned([heads, *rows], left=1))


def comparison_csv(document: dict[str, Any]) -> str:
    """One row for each set, size and network, shares from 0 to 1; the first row names the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    results = document["results"]
    at = list(results[0]["accuracy_at"])
    writer.writerow(
        [
            "set", "network", "height", "width", "networks", "last_epoch_mean", "last_epoch_std",
            "best_epoch_on_test_images_mean", "best_epoch_on_test_images_std",
            *(f"after_{epoch}_epochs_mean" for epoch in at), "recipe", "epochs", "learning_rate", "seed", "bytes",
            "data", "data_fingerprint",
        ]
    )  # fmt: skip
    for result in results:
        last, best = result["last_epoch"], result["best_epoch"] or {"mean": None, "std": None}
        writer.writerow(
            [
                result["set"]["name"], result["network"], *result["size"], len(result["repeats"]), last["mean"],
                last["std"], best["mean"], best["std"], *(result["accuracy_at"][epoch]["mean"] for epoch in at),
                result["recipe"], result["epochs"], result["learning_rate"], result["seed"], result["set"]["bytes"],
                result["data"]["name"], result["data"]["fingerprint"],
            ]
        )  # fmt: skip
    return text.getvalue()


def accuracy_text(figures: dict[str, Any]) -> str:
    """Mean and deviation in per cent, without the sign."""
    mean, deviation = figures["mean"], figures["std"]
    return f"{100 * mean:.2f}" if deviation is None else f"{100 * mean:.2f} +- {100 * deviation:.2f}"


def aligned(rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """Lines of columns as wide as their widest entry; the first ``left`` columns begin, the others end together."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _columns(results: Sequence[dict[str, Any]]) -> list[str]:
    heads = ["set", "network", "size", "bits a class", "last epoch"]
    if results[0]["best_epoch"] is not None:
        heads.append(BEST)
    return heads + [f"after {counted(int(epoch), 'epoch')}" for epoch in results[0]["accuracy_at"]]


def _row(result: dict[str, Any]) -> list[str]:
    row = [
        printable(result["set"]["name"]),
        result["network"],
        "x".join(map(str, result["size"])),
        f"{result['set']['bits_per_class']:,.0f}",
        accuracy_text(result["last_epoch"]),
    ]
    if result["best_epoch"] is not None:
        row.append(accuracy_text(result["best_epoch"]))
    return row + [accuracy_text(figures) for figures in result["accuracy_at"].values()]


def _row_over_sets(entry: dict[str, Any], columns: int) -> list[str]:
    row = [f"mean of {counted(entry['sets'], 'set')} +- deviation between sets", entry["network"]]
    row += ["x".join(map(str, entry["size"])), "", accuracy_text(entry["last_epoch"])]
    if entry["best_epoch"] is not None:
        row.append(accuracy_text(entry["best_epoch"]))
    return row + [""] * (columns - len(row))
