"""How often which fault was tried, and what became of it: kept run by run, and the tables of docs/faults.md.

    python tests/faults/tally.py     writes the tables anew from benchmarks/results/faults.json

A run is kept with its command and its seed. No two have the same seed: their moments differ, so counts may be added.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "faults.json"
PAGE = ROOT / "docs" / "faults.md"
_BLOCK = re.compile(r"(<!-- (faults|kills) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)

SAID = {
    "killed": "SIGKILL at a random moment, every third time twice",
    "killed in a call": "SIGKILL in a write, sync, rename, creation or truncation",
    "call failed": "such a call fails",
    "no rights": "the folder cannot be written",
    "little memory": "1 MB to 1 GB of address space more than at the start",
    "clock set back": "the wall clock goes back a day",
    "two at once": "two processes with one output",
    "input replaced": "the set that is read, mapped, is replaced",
    "input cut": "the set that is read, mapped, is cut short",
}
KILLED = "killed"
# Of a run that told its commands apart by nothing.
TOGETHER = "all commands"

Counts = Counter[str]


class Tally:
    """The runs in a file."""

    def __init__(self, path: Path = RESULTS) -> None:
        self.path = path
        self.runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []

    def next_seed(self) -> int:
        """One that no run had."""
        return max((run["seed"] for run in self.runs), default=-1) + 1

    def begin(self, command: str, seed: int) -> None:
        """A run, to which counts are added.

        Raises:
            ValueError: its seed was used.
        """
        if seed in {run["seed"] for run in self.runs}:
            raise ValueError(f"the seed {seed} was used before: its moments would count twice")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.runs.append({"command": command, "seed": seed, "faults": {}})

    def add(self, job: str, kind: str, counts: Counts) -> None:
        """Keeps the counts of a command at once: what a later one meets does not take them away."""
        self.runs[-1]["faults"].setdefault(job, {})[kind] = dict(sorted(counts.items()))
        self.path.write_text(json.dumps({"runs": self.runs}, indent=1) + "\n")

    def by_kind(self) -> dict[str, Counts]:
        """Of all commands and runs."""
        found: dict[str, Counts] = {kind: Counter() for kind in SAID}
        for run in self.runs:
            for kinds in run["faults"].values():
                for kind, counts in kinds.items():
                    found[kind].update(counts)
        return found

    def by_job(self, kind: str) -> dict[str, Counts]:
        """Of each command, where a run told them apart."""
        found: dict[str, Counts] = {}
        for run in self.runs:
            for job, kinds in run["faults"].items():
                if job != TOGETHER and kind in kinds:
                    found.setdefault(job, Counter()).update(kinds[kind])
        return found

    def missing(self, job: str, enough: int) -> int:
        """Of a number of deaths of a command by a kill at a random moment, those that no run has."""
        return max(0, enough - self.by_job(KILLED).get(job, Counter())[KILLED])

    def faults(self) -> str:
        """A row a kind of fault."""
        lines = ["| fault | times | what became of it |", "|---|---|---|"]
        for kind, counts in self.by_kind().items():
            outcomes: Counts = Counter()
            for what, number in counts.items():
                outcomes[_outcome(kind, what)] += number
            told = ", ".join(f"{number:,} {what}" for what, number in sorted(outcomes.items()))
            lines.append(f"| {SAID[kind]} | {counts.total():,} | {told} |")
        return "\n".join(lines)

    def kills(self) -> str:
        """A row a command: what ended it at a random moment, and where it was over before."""
        lines = ["| command | killed at a random moment | over before |", "|---|---|---|"]
        for job, counts in self.by_job(KILLED).items():
            lines.append(f"| {job} | {counts[KILLED]:,} | {counts.total() - counts[KILLED]:,} |")
        return "\n".join(lines)


def _outcome(kind: str, what: str) -> str:
    """Without the operation that the call was."""
    if kind == "killed in a call" and what.startswith("in a "):
        return KILLED
    return what.partition(", ")[2] if kind == "call failed" else what


def written(page: str, tally: Tally) -> str:
    """The page with the tables as the runs have them."""
    made = {"faults": tally.faults, "kills": tally.kills}
    return _BLOCK.sub(lambda found: f"{found[1]}{made[found[2]]()}\n{found[3]}", page)


def main() -> None:
    PAGE.write_text(written(PAGE.read_text(), Tally()))


if __name__ == "__main__":
    main()
