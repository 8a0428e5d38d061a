"""What each part of the method is worth: sets distilled without one part at a time, and from other starts.

    python benchmarks/ablation.py --keep NAME --dataset fashion-mnist --data-dir DIR      # goes on where it stopped
    python benchmarks/ablation.py --keep NAME ... --seeds 0 1 2 --only whole random       # of several sets a row
    python benchmarks/ablation.py                                                         # writes the table

Every set is distilled by DM in the storage of an image a class, as ``gsdd-rt distill`` does it with ``OPTIONS``, but
for what its row names, and judged as ``gsdd-rt eval`` does. What is done is kept in ``NAME-ablation.json`` set by set.
The page has ``<!-- ablation: NAME -->`` and ``<!-- end of ablation -->``; a test holds it to the results.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from pages import Document, Tables
from torch import Tensor

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.bench.machine import processor_name
from gsdd_runtime.datasets import RealData, load_dataset
from gsdd_runtime.distillation import distill
from gsdd_runtime.distillation.representations import REPRESENTATIONS, GaussianRepresentation, Room, Storage
from gsdd_runtime.evaluation.accuracy import evaluate
from gsdd_runtime.evaluation.result import EvaluationResult
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.op import splat
from gsdd_runtime.wording import counted

OPTIONS: dict[str, Any] = {
    "method": "dm", "ipc": 1, "gpc": 10, "iterations": 600, "batch_real": 64, "fit_steps": 400,
    "learning_rate": 4e-3, "schedule": "cosine", "placement": "uniform",
}  # fmt: skip


class WithoutOpacity(GaussianRepresentation):
    """Every opacity is 1, and what it took goes to more Gaussians."""

    @classmethod
    def plan(cls, room: Room, options: Any) -> Storage:
        storage = super().plan(room, options)
        parameters = 6 + room.data.channels
        return Storage(
            storage.gpc, {"gaussians_per_image": storage.facts["gaussians_per_image"] * parameters // (parameters - 1)}
        )

    def constrain(self) -> None:
        super().constrain()
        with torch.no_grad():
            self._masters["opacity"].fill_(1)


class WithoutRounding(GaussianRepresentation):
    """Trained in float32, and rounded to bfloat16 at the end alone."""

    def _stored(self, masters: Tensor) -> Tensor:
        return masters


class WithoutSamples(GaussianRepresentation):
    """One sample a pixel."""

    def draw(self, masters: Mapping[str, Tensor], batch: Hashable = None) -> Tensor:
        gaussians = self._stored(torch.cat([masters[name] for name in self._masters], dim=-1))
        return splat(gaussians, self.height, self.width, supersample=1)


# A row's words, the representation, and options that differ.
ROWS: dict[str, tuple[str, type[GaussianRepresentation], dict[str, Any]]] = {
    "whole": ("all of it", GaussianRepresentation, {}),
    "opacity": ("without opacity, with as many more Gaussians", WithoutOpacity, {}),
    "boundary": ("without the boundary penalty", GaussianRepresentation, {"boundary_weight": 0.0}),
    "rounding": ("unaware of its rounding to bfloat16", WithoutRounding, {}),
    "samples": ("one sample a pixel in place of four", WithoutSamples, {}),
    "fit": ("from real images fitted by 50 steps in place of 400", GaussianRepresentation, {"fit_steps": 50}),
    "edges": ("fitted from Gaussians along edges", GaussianRepresentation, {"placement": "edges"}),
    "longer": (
        "fitted from Gaussians along edges, by 1000 steps in place of 400",
        GaussianRepresentation,
        {"placement": "edges", "fit_steps": 1000},
    ),
    "kmeans": ("from the real images nearest to k-means' centers", GaussianRepresentation, {"init": "kmeans"}),
    "color": ("from a solid color", GaussianRepresentation, {"init": "color"}),
    "random": ("from random Gaussians", GaussianRepresentation, {"init": "random"}),
}


def made(row: str, data: RealData, seed: int, **options: Any) -> DistilledSet:
    """A set without what ``row`` names, as images where a plain decoder would draw others."""
    _, representation, changed = ROWS[row]
    with mock.patch.dict(REPRESENTATIONS["gaussians"], {"none": representation}):
        distilled = distill(data, seed=seed, **{**OPTIONS, **options, **changed})
    if representation is not WithoutSamples:
        return distilled
    images = splat(distilled.rows().float(), distilled.height, distilled.width, supersample=1)
    return DistilledSet(
        None, distilled.labels, distilled.height, distilled.width, pixels=images.bfloat16(),
        class_names=distilled.class_names, mean=distilled.mean, std=distilled.std, fingerprint=distilled.fingerprint,
    )  # fmt: skip


def measured(row: str, seed: int, distilled: DistilledSet, found: EvaluationResult) -> Document:
    """One set's entry."""
    return {
        "row": row, "seed": seed, "images": len(distilled),
        "last_epoch": [one.at_last_epoch for one in found.repeats],
    }  # fmt: skip


def table(document: Document) -> str:
    """A row for each part, the mean over its sets with the deviation between all networks, and the change."""
    whole = _figures(document, "whole")
    lines = ["| | last epoch, % | change |", "|---|---|---|"]
    rows = [row for row in ROWS if any(entry["row"] == row for entry in document["sets"])]
    for row in sorted(rows, key=lambda row: (row != "whole", -statistics.fmean(_figures(document, row)))):
        figures = _figures(document, row)
        mean, deviation = 100 * statistics.fmean(figures), 100 * statistics.pstdev(figures)
        change = "" if row == "whole" else f"{mean - 100 * statistics.fmean(whole):+.1f}"
        lines.append(f"| {ROWS[row][0]} | {mean:.1f} ± {deviation:.1f} | {change} |")
    how, sets = document["protocol"], [sum(entry["row"] == row for entry in document["sets"]) for row in rows]
    each = counted(sets[0], "set") if len(set(sets)) == 1 else f"{min(sets)} to {max(sets)} sets"
    return "\n".join([
        *lines, "",
        f"{each} a row, {counted(how['networks'], 'network')} `{how['network']}` each, "
        f"{counted(how['epochs'], 'epoch')}.",
    ])  # fmt: skip


def _figures(document: Document, row: str) -> list[float]:
    return [figure for entry in document["sets"] if entry["row"] == row for figure in entry["last_epoch"]]


TABLES = Tables("ablation", ("docs/figures.md",), table)


def run(place: Path, data: RealData, rows: list[str], seeds: list[int], *, networks: int, **judging: Any) -> None:
    """Distils, judges and keeps what ``place`` does not have yet.

    Raises:
        SystemExit: ``place`` is of another protocol.
    """
    protocol = {
        "options": OPTIONS, "networks": networks, **judging, "processor": processor_name(),
        "data": {"name": data.name, "fingerprint": data.fingerprint, "test_images": len(data.test_labels)},
    }  # fmt: skip
    document = json.loads(place.read_text()) if place.exists() else {"protocol": protocol, "sets": []}
    if document["protocol"] != protocol:
        raise SystemExit(f"{place} is of another protocol: {document['protocol']}")
    done = {(entry["row"], entry["seed"]) for entry in document["sets"]}
    for row, seed in ((row, seed) for seed in seeds for row in rows if (row, seed) not in done):
        distilled = made(row, data, seed, network=judging["network"])
        found = evaluate(distilled, data, repeats=networks, **judging)
        document["sets"].append(measured(row, seed, distilled, found))
        with atomic_path(place) as writing:
            writing.write_text(json.dumps(document, indent=1) + "\n")
        print(row, seed, f"{100 * found.last_epoch_mean:.2f} +- {100 * found.last_epoch_std:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", metavar="NAME")
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--network", default="convnet3-w32")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--networks", type=int, default=5, help="trained on each set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", choices=ROWS, nargs="+", default=list(ROWS))
    given = parser.parse_args()
    if given.keep:
        run(
            TABLES.place(given.keep), load_dataset(given.dataset, given.data_dir), given.only, given.seeds,
            networks=given.networks, network=given.network, epochs=given.epochs,
        )  # fmt: skip
    TABLES.write()


if __name__ == "__main__":
    main()
