"""Writes the best row of each storage beside what is published for it into README.md, from ``benchmarks/results``.

    python benchmarks/headline_tables.py

``NAME-headline.json`` lists its rows: the data and storage in words, the name of the document of ``bench rate`` whose
best set is shown, and the best figures that are published in those bits, with their methods. The table stands between
``<!-- headline: NAME -->`` and ``<!-- end of headline -->``. A test holds the page to it.
"""

from __future__ import annotations

import json

import rate_tables
from pages import RESULTS, Document, Tables

from gsdd_runtime.wording import counted


def table(document: Document) -> str:
    """A row a storage, in the document's order."""
    lines = ["| data, storage | images are | a class | bytes | judged by | last epoch, % | published, % |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    return "\n".join(lines + [_row(row) for row in document["rows"]])


def _row(row: Document) -> str:
    measured = json.loads(rate_tables.TABLES.place(row["document"], RESULTS).read_text())
    best = max(measured["points"], key=lambda point: point["last_epoch"]["mean"])
    how = measured["protocol"]
    judges = f"{how['networks']} x `{how['network']}`, {counted(how['epochs'], 'epoch')}"
    made = f"{rate_tables.objective(best)}: {rate_tables.kind(best)}"
    published = "; ".join(f"{one['accuracy']:g} ({one['by']})" for one in row["published"])
    cells = [row["data"], made, best["images"] // rate_tables.classes(best), f"{best['bytes']['all']:,}", judges,
             f"**{rate_tables.accuracy(best['last_epoch'])}**", published]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


TABLES = Tables("headline", ("README.md",), table)

if __name__ == "__main__":
    TABLES.write()
