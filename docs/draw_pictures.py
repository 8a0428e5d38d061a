"""Draws the pictures of the demo, and its table in the README, from the sets that are kept in ``docs/images/sets``.

    python docs/draw_pictures.py                # docs/images/demo.png, docs/images/zoom.png, README.md
    python docs/draw_pictures.py --keep demo    # first: take the sets of that folder, which `make demo` has made

Charts and tables of decoding are drawn from ``benchmarks/results`` too. A test holds all of them to what this makes,
and the sets to what ``make demo`` would distill.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gsdd_runtime.bench import render_markdown
from gsdd_runtime.bench.chart import draw_chart
from gsdd_runtime.commands.demo import bytes_per_class, draw_pictures
from gsdd_runtime.sets.distilled_set import DistilledSet

ROOT = Path(__file__).resolve().parent.parent
README, IMAGES = ROOT / "README.md", ROOT / "docs" / "images"
SETS = IMAGES / "sets"
RESULTS = ROOT / "benchmarks" / "results"
# What the demo draws, and as what it is shown.
PICTURES = {"distilled.png": "demo.png", "zoom.png": "zoom.png"}
# Rows of the table, the best first.
ROWS = {
    "coded": "Gaussians, distilled and coded",
    "gaussians": "Gaussians, distilled",
    "pixels": "pixels, distilled the same way",
    "random-real": "real images, chosen at random",
}
_TABLE = re.compile(r"\| `make demo` \|.*\n\|[-|]+\n(?:\|.*\n)*")


def sets(folder: Path = SETS) -> dict[str, DistilledSet]:
    """The demo's sets, by name."""
    return {name: DistilledSet.load(folder / f"{name}.safetensors") for name in ROWS}


def table(shown: Mapping[str, DistilledSet]) -> str:
    """Rows of the README: what each set holds, and the accuracy that it states."""
    lines = ["| `make demo` | images a class | bytes a class | test accuracy, last epoch |", "|---|---|---|---|"]
    for place, (name, words) in enumerate(ROWS.items()):
        one = shown[name]
        (stated,) = one.accuracy
        figures, bold = stated["last_epoch"], "**" if place == 0 else ""
        lines.append(
            f"| {bold}{words}{bold} | {len(one) // one.classes} | {bytes_per_class(one)} "
            f"| {bold}{100 * figures['mean']:.1f} ± {100 * figures['std']:.1f} %{bold} |"
        )
    return "".join(f"{line}\n" for line in lines)


def written(page: str, shown: Mapping[str, DistilledSet]) -> str:
    """The page with the table of the sets."""
    return _TABLE.sub(lambda _: table(shown), page)


def draw(shown: Mapping[str, DistilledSet], folder: Path) -> None:
    """The pictures, by the names that they are shown by."""
    with tempfile.TemporaryDirectory() as made:
        draw_pictures(shown, Path(made))
        for drawn, name in PICTURES.items():
            shutil.copy(Path(made, drawn), folder / name)


def draw_decoding(results: Path = RESULTS) -> None:
    """Chart and table beside each measurement of decoding."""
    for path in results.glob("*-decode.json"):
        result = json.loads(path.read_text())
        path.with_suffix(".svg").write_text(draw_chart(result))
        path.with_suffix(".md").write_text(render_markdown(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="DEMO", help="the folder that make demo has written")
    arguments = parser.parse_args()
    if arguments.keep:
        SETS.mkdir(exist_ok=True)
        for name in ROWS:
            shutil.copy(arguments.keep / f"{name}.safetensors", SETS)
    shown = sets()
    draw(shown, IMAGES)
    draw_decoding()
    README.write_text(written(README.read_text(), shown))


if __name__ == "__main__":
    main()
