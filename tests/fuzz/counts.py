"""How many inputs were read: what runs printed, kept run by run, and the table of docs/faults.md.

    python tests/fuzz/counts.py      writes the table anew from benchmarks/results/fuzz.json

A run is kept with its command and its seed. A seed is used once for each reader, so that counts may be added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "fuzz.json"
PAGE = ROOT / "docs" / "faults.md"
_BLOCK = re.compile(r"(<!-- fuzz -->\n).*?(<!-- end of fuzz -->)", re.DOTALL)


@dataclass(frozen=True)
class Run:
    """What one run of the fuzzer said.

    Attributes:
        command: it was run by.
        seed: of its chance.
        inputs: that were read.
        edges: of our code that any input has reached; 0 where nothing looked at coverage.
        status: 0; 72 where the run was stopped from outside; else that of a process which ended at an input it found.
    """

    command: str
    seed: int
    inputs: int
    edges: int
    status: int

    @classmethod
    def said(cls, text: str, command: str, seed: int, status: int) -> Run:
        """As libFuzzer, or the driver that stands in for it, prints it; no inputs where it printed none."""
        read = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
        covered = re.findall(r"cov: (\d+)", text)
        return cls(command, seed, int(read[1]) if read else 0, int(covered[-1]) if covered else 0, status)


class Kept:
    """The runs of each reader or entry in a file."""

    def __init__(self, path: Path = RESULTS) -> None:
        self.path = path
        found = json.loads(path.read_text()) if path.exists() else {"runs": {}}
        self.runs = {name: [Run(**run) for run in runs] for name, runs in found["runs"].items()}

    def inputs(self, name: str) -> int:
        """Of all runs of one."""
        return sum(run.inputs for run in self.runs.get(name, []))

    def next_seed(self, name: str) -> int:
        """One that no run of it had."""
        return max((run.seed for run in self.runs.get(name, [])), default=0) + 1

    def add(self, name: str, run: Run) -> None:
        """Keeps a run at once: what a later one meets does not take it away.

        Raises:
            ValueError: its seed was used.
        """
        if run.seed in {earlier.seed for earlier in self.runs.get(name, [])}:
            raise ValueError(f"{name} was run from the seed {run.seed} before: its inputs would count twice")
        self.runs.setdefault(name, []).append(run)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.document())

    def document(self) -> str:
        """JSON of a line a run."""
        each = (
            f'  "{name}": [\n' + ",\n".join(f"   {json.dumps(asdict(run))}" for run in runs) + "\n  ]"
            for name, runs in self.runs.items()
        )
        return '{\n "runs": {\n' + ",\n".join(each) + "\n }\n}\n"

    def table(self, readers: Iterable[str]) -> str:
        """A row a reader, and then a row an entry in C++."""
        lines = ["| reader or entry | inputs | edges reached | runs |", "|---|---|---|---|"]
        read = [name for name in readers if name in self.runs]
        for name in [*read, *sorted(self.runs.keys() - set(read))]:
            runs = self.runs[name]
            edges = max(run.edges for run in runs)
            said = name if name in read else f"{name} (C++)"
            lines.append(f"| {said} | {self.inputs(name):,} | {edges or 'not looked at'} | {len(runs)} |")
        return "\n".join(lines)


def written(page: str, kept: Kept) -> str:
    """The page with the table as the runs have it; those that are no reader in Python are entries in C++."""
    from readers import TARGETS

    text = kept.table(TARGETS)
    return _BLOCK.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def main() -> None:
    import sys

    sys.path.insert(0, str(ROOT / "tests"))
    PAGE.write_text(written(PAGE.read_text(), Kept()))


if __name__ == "__main__":
    main()
