"""Writes the tables of decoupled distillation into docs/scale.md, from ``benchmarks/results``.

    python benchmarks/decoupled_tables.py                        # between their marks
    python benchmarks/decoupled_tables.py --keep NAME FOLDER     # first: what lies in FOLDER, as NAME-decoupled.json

``FOLDER`` has, as commands wrote them, ``teacher.json`` (``eval teacher.safetensors --json``), ``teacher.log`` (GNU
``time`` of its training), ``rows*.json`` (``eval SET ... --json``), ``longer*.json`` (the same, of longer trainings),
the sets that these name, and ``views*.safetensors`` of ``relabel --views``. The page has ``<!-- decoupled: NAME -->``
and ``<!-- end of decoupled -->``: what stands between is of ``NAME-decoupled.json``. A test holds the page to it.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from pages import RESULTS, Document, Tables

from gsdd_runtime.bench.machine import processor_name, usable_cores
from gsdd_runtime.sets.description import description
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.view_labels import load_view_labels
from gsdd_runtime.wording import counted, percent

_DRAWS = ("first", "second", "third", "fourth")
# Of a set: what may have been chosen.
_CHOSEN = ("init", "fit_steps", "iterations", "learning_rate", "crop_scale", "batch_syn", "statistics_weight")


def keep(name: str, folder: Path, results: Path = RESULTS) -> Path:
    """One document of what was measured, in ``results``."""
    rows, longer = (_entries(sorted(folder.glob(pattern)), folder) for pattern in ("rows*.json", "longer*.json"))
    kept = {
        "machine": {"processor": processor_name(), "cores": usable_cores(), "threads": rows[0].pop("threads")},
        "teacher": _teacher(folder),
        "stored_labels": [_stored(path) for path in sorted(folder.glob("views*.safetensors"))],
        "results": rows,
        "longer": longer,
    }
    for entry in rows[1:] + longer:
        if entry.pop("threads") != kept["machine"]["threads"]:
            raise SystemExit(f"{entry['set']} was judged on another number of threads than the first")
    place = TABLES.place(name, results)
    place.write_text(json.dumps(kept, indent=1) + "\n")
    return place


def _teacher(folder: Path) -> Document:
    told = json.loads((folder / "teacher.json").read_text())
    facts = told["model"]["training"]
    each = description(DistilledSet.load(folder / facts["set"]))["images_per_class"]
    (seconds,) = re.findall(r"([\d.]+) ?user ([\d.]+) ?sys", (folder / "teacher.log").read_text())
    return {
        "network": told["model"]["network"], "trained_on": f"{counted(each, 'image')} a class",
        "recipe": facts["recipe"], "epochs": facts["epochs"], "learning_rate": facts["learning_rate"],
        "accuracy": told["accuracy"], "processor_seconds": round(sum(map(float, seconds))),
    }  # fmt: skip


def _stored(path: Path) -> Document:
    labels = load_view_labels(path)
    epochs, images, top = labels.top.shape
    return {"epochs": epochs, "images": images, "top": top, "classes": labels.classes, "bytes": labels.nbytes}


def _entries(documents: list[Path], folder: Path) -> list[Document]:
    return [_entry(result, folder) for path in documents for result in json.loads(path.read_text())["results"]]


def _entry(result: Document, folder: Path) -> Document:
    about = description(made := DistilledSet.load(folder / result["set"]["name"]))
    entry = {
        "set": Path(result["set"]["name"]).stem, "labels": "hard" if result["teacher"] is None else "teacher",
        "images": about["images"], "images_per_class": about["images_per_class"],
        "representation": about["representation"], "gaussians_per_image": about["gaussians_per_image"],
        "downscale": about["downscale"], "bytes": about["payload_bytes"],
        "coded": about["coding"] is not None, "method": about["method"],
        "made": {name: made.options[name] for name in _CHOSEN if name in made.options},
        "last_epoch": result["last_epoch"], "networks": [one["last_epoch"] for one in result["repeats"]],
        **{key: result[key] for key in ("network", "recipe", "epochs", "batch_size", "learning_rate", "teacher")},
        **{key: result[key] for key in ("size", "seed", "data", "versions", "threads")},
    }  # fmt: skip
    if about["method"] == "random-real":
        entry["bytes_at_a_byte_a_pixel"] = about["images"] * about["channels"] * about["height"] * about["width"]
    return entry


def told(document: Document) -> str:
    """The teacher, a row a set, and what its labels take."""
    parts = [_teaching(document), _table(document["results"])]
    parts += ["\n".join(map(_longer, longer))] if (longer := document.get("longer")) else []
    return "\n\n".join([*parts, *_labels(document.get("stored_labels", []))])


def _teaching(document: Document) -> str:
    teacher, first = document["teacher"], document["results"][0]
    return (
        f"Teacher: `{teacher['network']}`, {counted(teacher['epochs'], 'epoch')} of {teacher['trained_on']}, "
        f"{teacher['processor_seconds']:,} processor seconds; {percent(teacher['accuracy'], 0.0, 1, digits=1)} of "
        f"{counted(first['data']['test_images'], 'test image')}.\n"
        f"Students: `{first['network']}`, recipe `{first['recipe']}`, {_length(document['results'])}; "
        f"last epoch, mean and deviation of {counted(len(first['networks']), 'network')}."
    )


def _length(entries: list[Document]) -> str:
    """Of the trainings: so many epochs, or so many images shown.

    Raises:
        SystemExit: sets were trained on for neither.
    """
    epochs = {entry["epochs"] for entry in entries}
    if len(epochs) == 1:
        return counted(epochs.pop(), "epoch")
    shown = {entry["epochs"] * entry["images"] for entry in entries}
    batches = {entry["batch_size"] for entry in entries}
    if len(shown) > 1 or len(batches) > 1:
        of = f"epochs {sorted(epochs)}, batches {sorted(batches)}"
        raise SystemExit(f"sets were trained on by more than one protocol: {of}")
    each = ", ".join(
        f"{counted(most, 'epoch')} of {images}"
        for images, most in sorted({(e["images"], e["epochs"]) for e in entries})
    )
    return f"{counted(shown.pop(), 'image')} shown in batches of {batches.pop()} ({each})"


def _table(entries: list[Document]) -> str:
    lines = ["| set | bytes | hard labels | the teacher's, of every view |", "|---|---|---|---|"]
    draws = 0
    for name in dict.fromkeys(entry["set"] for entry in entries):
        of = {entry["labels"]: entry for entry in entries if entry["set"] == name}
        one = next(iter(of.values()))
        size = one.get("bytes_at_a_byte_a_pixel", one["bytes"])
        cells = [_accuracy(of[labels]) if labels in of else "-" for labels in ("hard", "teacher")]
        lines.append(f"| {_words(one, draws)} | {size / 1e3:,.1f} kB | {' | '.join(cells)} |")
        draws += "bytes_at_a_byte_a_pixel" in one
    return "\n".join(lines)


def _longer(entry: Document) -> str:
    by = "hard labels" if entry["labels"] == "hard" else "the teacher's labels"
    shown = counted(entry["epochs"] * entry["images"], "image")
    return (
        f"- After {counted(entry['epochs'], 'epoch')} ({shown} shown) {_words(entry, 0)}: {_accuracy(entry)} by {by}."
    )


def _words(entry: Document, draw: int) -> str:
    each = entry["images_per_class"]
    if "bytes_at_a_byte_a_pixel" in entry:
        return f"{counted(each, 'random real image')} a class, {_DRAWS[draw]} draw"
    of = f" of {counted(entry['gaussians_per_image'], 'Gaussian')}" if entry["gaussians_per_image"] else ""
    of += " of half the size" if entry.get("downscale") == 2 else ""
    return f"`{entry['set']}`, {counted(each, 'image')} a class{of}{', coded' if entry['coded'] else ''}"


def _accuracy(entry: Document) -> str:
    mean, deviation = entry["last_epoch"]["mean"], entry["last_epoch"]["std"] or 0.0
    return percent(mean, deviation, len(entry["networks"]), digits=1)


def _labels(stored: list[Document]) -> list[str]:
    said = [
        f"{counted(one['epochs'], 'view')} of each of {counted(one['images'], 'image')} take "
        f"{one['bytes'] / 1e3:,.1f} kB with {one['top']} told apart of {counted(one['classes'], 'class')}"
        for one in stored
    ]
    return [f"The teacher's labels, stored: {'; '.join(said)}."] if said else []


TABLES = Tables("decoupled", ("docs/scale.md",), told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", nargs=2, metavar=("NAME", "FOLDER"), help="what was measured")
    options = parser.parse_args()
    if options.keep:
        print(keep(options.keep[0], Path(options.keep[1])))
    TABLES.write()


if __name__ == "__main__":
    main()
