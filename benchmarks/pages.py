"""Marks in a page between which a table of ``benchmarks/results`` stands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

Document = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """Tables of one kind: ``<!-- KIND: NAME -->`` and ``<!-- end of KIND -->`` have that of ``NAME-KIND.json`` between.

    Attributes:
        kind: of the marks and of the files.
        pages: where they stand, from the project's root.
        table: of a document.
    """

    kind: str
    pages: tuple[str, ...]
    table: Callable[[Document], str]

    def place(self, name: str, results: Path = RESULTS) -> Path:
        """The file of a document."""
        return results / f"{name}-{self.kind}.json"

    def kept(self, results: Path = RESULTS) -> dict[str, Path]:
        """Every document, by its name."""
        return {path.stem.removesuffix(f"-{self.kind}"): path for path in sorted(results.glob(f"*-{self.kind}.json"))}

    def named(self, page: str) -> list[str]:
        """The documents that a page's text shows."""
        return [found[2] for found in self._blocks.finditer(page)]

    def written(self, page: str, results: Path = RESULTS) -> str:
        """The page's text with every table as the documents have it."""

        def block(found: re.Match[str]) -> str:
            document = json.loads(self.place(found[2], results).read_text())
            return f"{found[1]}{self.table(document)}\n{found[3]}"

        return self._blocks.sub(block, page)

    def write(self) -> None:
        """Writes them into the pages."""
        for page in self.pages:
            path = ROOT / page
            path.write_text(self.written(path.read_text()))

    @property
    def _blocks(self) -> re.Pattern[str]:
        return re.compile(rf"(<!-- {self.kind}: ([\w-]+) -->\n).*?(<!-- end of {self.kind} -->)", re.DOTALL)
