"""Writes the tables of sets that many networks, or sizes, were trained on into their pages.

    python benchmarks/network_tables.py                                        # between their marks
    python benchmarks/network_tables.py --keep NAME FILE=WORDS,... DOC.json ...    # first: these, as NAME-networks.json

``gsdd-rt eval SET ... --networks A,B --sizes HxW,... --json`` makes a document; FILE is a set's name in it, WORDS what
the page calls it. A page has ``<!-- networks: NAME -->`` and ``<!-- end of networks -->``: what stands between is the
table of ``NAME-networks.json`` in ``benchmarks/results``. A test holds the pages to it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pages import RESULTS, Document, Tables

# What is the same for all rows of a table; a rate is each network's own, a fingerprint of the data each size's.
_OF_ALL = ("recipe", "epochs", "batch_size", "augment", "schedule", "seed", "device", "versions")
_OF_DATA = ("name", "test_images")
_OF_EACH = ("network", "size", "learning_rate", "last_epoch")


def keep(name: str, words: dict[str, str], documents: list[Document], results: Path = RESULTS) -> Path:
    """One document of the results of several, which must be of one protocol.

    Args:
        name: of the document.
        words: what each set is called, by the name of its file.
        documents: as ``eval --json`` prints them.
        results: the folder.

    Raises:
        SystemExit: they are of several protocols, or of a set without words.
    """
    found = [result for document in documents for result in document["results"]]
    protocol = _protocol(found[0])
    rows = []
    for result in found:
        if _protocol(result) != protocol:
            raise SystemExit(f"{result['network']} was trained by another protocol than {found[0]['network']}")
        file = result["set"]["name"]
        if file not in words:
            raise SystemExit(f"{file} has no words: give {file}=WORDS")
        of_set = {"set": words[file], "images": result["set"]["images"], "bytes": result["set"]["bytes"]}
        accuracies = [repeat["last_epoch"] for repeat in result["repeats"]]
        fingerprint = {"fingerprint": result["data"]["fingerprint"]}
        rows.append({**of_set, **{key: result[key] for key in _OF_EACH}, **fingerprint, "accuracies": accuracies})
    place = TABLES.place(name, results)
    place.write_text(json.dumps({"protocol": protocol, "results": rows}, indent=1) + "\n")
    return place


def _protocol(result: dict[str, Any]) -> dict[str, Any]:
    data = {key: result["data"][key] for key in _OF_DATA}
    return {**{key: result[key] for key in _OF_ALL}, "data": data, "networks": len(result["repeats"])}


def table(document: Document) -> str:
    """A row a network and size, a column a set; sizes are said where there are several."""
    rows = document["results"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    several = len({tuple(row["size"]) for row in rows}) > 1
    lines = [f"| network |{' size |' if several else ''} rate | {' | '.join(sets)} |"]
    lines.append("|---" * (2 + several + len(sets)) + "|")
    for network, size in dict.fromkeys((row["network"], tuple(row["size"])) for row in rows):
        of = {row["set"]: row for row in rows if (row["network"], tuple(row["size"])) == (network, size)}
        figures = [of[one]["last_epoch"] for one in sets]
        cells = [f"{100 * figure['mean']:.1f} ± {100 * figure['std']:.1f}" for figure in figures]
        shown = f"{size[0]} x {size[1]} | " if several else ""
        lines.append(f"| {network} | {shown}{of[sets[0]]['learning_rate']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = Tables("networks", ("docs/networks.md", "docs/figures.md"), table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", nargs="+", metavar=("NAME", "WHAT"), help="documents to keep as NAME-networks.json")
    arguments = parser.parse_args()
    if arguments.keep:
        name, words, *files = arguments.keep
        called = dict(pair.split("=", 1) for pair in words.split(","))
        print(keep(name, called, [json.loads(Path(file).read_text()) for file in files]))
    TABLES.write()


if __name__ == "__main__":
    main()
