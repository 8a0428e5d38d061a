"""Writes the tables and charts of accuracy by bytes into the pages that show them, from ``benchmarks/results``.

    python benchmarks/rate_tables.py                                  # README.md, docs/figures*.md: between their marks
    python benchmarks/rate_tables.py --keep NAME RESULT.json ...       # first: these documents' sets, in NAME-rate.json
    python benchmarks/rate_tables.py --join RESULT.json ... > ALL.json # of several that differ by --seed alone, one

``gsdd-rt bench rate SET ... --json`` makes a document. A page has ``<!-- rate: NAME -->`` and ``<!-- end of rate -->``:
what stands between is the table of ``NAME-rate.json``. ``docs/images/NAME-rate.svg`` is its chart, where a page shows
one. A test holds the pages to what this writes.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from pages import RESULTS, ROOT, Document, Tables

from gsdd_runtime.bench.rate_chart import draw_rate_chart
from gsdd_runtime.wording import counted


def keep(name: str, documents: list[Document], results: Path = RESULTS) -> Path:
    """One document of the points of several, which must be of one protocol.

    Raises:
        SystemExit: they are not.
    """
    place = TABLES.place(name, results)
    together = json.loads(place.read_text()) if place.exists() else {**documents[0], "points": []}
    for document in documents:
        if document["protocol"] != together["protocol"]:
            raise SystemExit(f"a document is of another protocol than the first: {document['protocol']}")
        told = [point["set"] for point in document["points"]]
        together["points"] = [point for point in together["points"] if point["set"] not in told] + document["points"]
    place.write_text(json.dumps(together, indent=2) + "\n")
    return place


def joined(documents: list[Document]) -> Document:
    """One document of several of the same sets, whose networks differ: ``protocol`` has the seeds and counts them all.

    Raises:
        SystemExit: they differ by more than the seed.
    """
    first, *others = documents
    seeds = [document["protocol"]["seed"] for document in documents]
    protocol = {**first["protocol"], "seed": seeds, "networks": sum(one["protocol"]["networks"] for one in documents)}
    for other in others:
        same = {**other["protocol"], **{name: protocol[name] for name in ("seed", "networks")}} == protocol
        if not same or [_of_a_set(one) for one in other["points"]] != [_of_a_set(one) for one in first["points"]]:
            raise SystemExit(f"a document differs from the first by more than the seed: {other['protocol']}")
    if len(set(seeds)) < len(seeds):
        raise SystemExit(f"the same networks would count twice: seeds {seeds}")
    points = []
    for place, point in enumerate(first["points"]):
        repeats = [repeat for document in documents for repeat in document["points"][place]["repeats"]]
        figures = [repeat["last_epoch"] for repeat in repeats]
        last = {"mean": statistics.fmean(figures), "std": statistics.pstdev(figures)}
        points.append({**point, "last_epoch": last, "best_epoch": None, "repeats": repeats})
    return {**first, "protocol": protocol, "points": points}


def _of_a_set(point: Document) -> Document:
    """What networks do not decide."""
    return {name: value for name, value in point.items() if name not in ("last_epoch", "best_epoch", "repeats")}


def table(document: Document) -> str:
    """A row a set, the best first, and how they were judged. Rows that would read the same say their steps."""
    lines = ["| objective | images are | a class | bytes, labels and all | last epoch, % |",
             "|---|---|---|---|---|"]  # fmt: skip
    points = sorted(document["points"], key=lambda point: -point["last_epoch"]["mean"])
    cells = [(objective(point), kind(point), point["images"] // classes(point)) for point in points]
    for place, (point, cell) in enumerate(zip(points, cells, strict=True)):
        by, images, count = cell
        best = "**" if place == 0 else ""
        steps = f", {counted(point['made']['options']['iterations'], 'step')}" if cells.count(cell) > 1 else ""
        lines.append(
            f"| {by}{steps} | {images} | {count} "
            f"| {point['bytes']['all']:,} | {best}{accuracy(point['last_epoch'])}{best} |"
        )
    how = document["protocol"]
    judged = f"{counted(how['networks'], 'network')} `{how['network']}`, {counted(how['epochs'], 'epoch')}"
    return "\n".join([*lines, "", f"Judged by {judged}."])


def objective(point: Document) -> str:
    """What a set was distilled by, or that it was not."""
    made = point["made"]
    method: str = made["method"]
    options = made.get("options", {})
    # Before runs could go without a step, one at a rate that moves nothing kept the images that they began with.
    still = options.get("learning_rate", 1.0) < 1e-6 or (method == "fit" and options.get("init") == "real")
    return "random real images" if still or method == "random-real" else method.upper()


def kind(point: Document) -> str:
    """What a set's images are kept as, in words."""
    if point["representation"] == "gaussians":
        made = point["made"]["options"]
        coding = "plain" if point["coding"] == "bfloat16" else "compressed"
        coding = "coded" if made.get("coding") == "entropy" else coding
        said = f"{counted(point['gaussians_per_image'], 'Gaussian')}, {coding}"
        # Before there was a choice, fits started anywhere; a run that goes on from a set fits nothing.
        fitted = not made.get("init", "").startswith("set:")
        return f"{said}, from edges" if fitted and made.get("placement") == "edges" else said
    bits = "16 bits" if point["coding"] == "bfloat16" else point["coding"].removeprefix("coded, ")
    size = "pixels" if point["downscale"] == 1 else "half-size pixels"
    return f"{size} of {bits}" + ("" if point["coding"] == "bfloat16" else ", coded")


def classes(point: Document) -> int:
    return round(8 * point["bytes"]["all"] / point["bits_per_class"])


def accuracy(figures: Document) -> str:
    """Mean and deviation, which one network has none of."""
    mean = f"{100 * figures['mean']:.1f}"
    return mean if figures["std"] is None else f"{mean} ± {100 * figures['std']:.1f}"


TABLES = Tables("rate", ("README.md", "docs/figures.md", "docs/figures-tried.md"), table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", nargs="+", metavar=("NAME", "RESULT"), help="documents to add to NAME-rate.json")
    parser.add_argument("--join", nargs="+", metavar="RESULT", help="print these documents, of several seeds, as one")
    arguments = parser.parse_args()
    if arguments.join:
        print(json.dumps(joined([json.loads(Path(file).read_text()) for file in arguments.join]), indent=2))
        return
    if arguments.keep:
        name, *files = arguments.keep
        print(keep(name, [json.loads(Path(file).read_text()) for file in files]))
    TABLES.write()
    for place, document in charts().items():
        place.write_text(draw_rate_chart(document))


def charts() -> dict[Path, Document]:
    """The charts that a page shows, and what they are drawn from."""
    pages = "".join((ROOT / page).read_text() for page in TABLES.pages)
    places = {ROOT / "docs" / "images" / f"{path.stem}.svg": path for path in TABLES.kept().values()}
    return {place: json.loads(path.read_text()) for place, path in places.items() if f"images/{place.name}" in pages}


if __name__ == "__main__":
    main()
