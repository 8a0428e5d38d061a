"""Writes the tables of sets that many networks were trained on into docs/networks.md, from ``benchmarks/results``.

    python benchmarks/network_tables.py                                        # between their marks
    python benchmarks/network_tables.py --keep NAME FILE=WORDS,... DOC.json ...    # first: these, as NAME-networks.json

``gsdd-rt eval SET ... --networks A,B --json`` makes a document; FILE is a set's name in it, WORDS what the page calls
it. The page has ``<!-- networks: NAME -->`` and ``<!-- end of networks -->``: what stands between is the table of
``NAME-networks.json``. A test holds the page to it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pages import RESULTS, Document, Tables

# What is the same for all networks of a table; a rate is each network's own.
_OF_ALL = ("recipe", "epochs", "batch_size", "augment", "schedule", "size", "seed", "device", "versions", "data")
_OF_EACH = ("network", "learning_rate", "last_epoch")


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
    protocol = {key: found[0][key] for key in _OF_ALL} | {"networks": len(found[0]["repeats"])}
    rows = []
    for result in found:
        if {key: result[key] for key in _OF_ALL} | {"networks": len(result["repeats"])} != protocol:
            raise SystemExit(f"{result['network']} was trained by another protocol than {found[0]['network']}")
        file = result["set"]["name"]
        if file not in words:
            raise SystemExit(f"{file} has no words: give {file}=WORDS")
        of_set = {"set": words[file], "images": result["set"]["images"], "bytes": result["set"]["bytes"]}
        accuracies = [repeat["last_epoch"] for repeat in result["repeats"]]
        rows.append({**of_set, **{key: result[key] for key in _OF_EACH}, "accuracies": accuracies})
    place = TABLES.place(name, results)
    place.write_text(json.dumps({"protocol": protocol, "results": rows}, indent=1) + "\n")
    return place


def table(document: Document) -> str:
    """A row a network, a column a set."""
    rows = document["results"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    networks = dict.fromkeys(row["network"] for row in rows)
    lines = [f"| network | rate | {' | '.join(sets)} |", "|---" * (2 + len(sets)) + "|"]
    for network in networks:
        of = {row["set"]: row for row in rows if row["network"] == network}
        figures = [of[one]["last_epoch"] for one in sets]
        cells = [f"{100 * figure['mean']:.1f} ± {100 * figure['std']:.1f}" for figure in figures]
        lines.append(f"| {network} | {of[sets[0]]['learning_rate']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = Tables("networks", ("docs/networks.md",), table)


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
