"""Whether a release may be made: the kernels of this checkout have run on a GPU, and were found right (`make release`).

What `make gpu` found is looked for in benchmarks/results/*-gpu.json, and has to be of these very sources of plugins/.
"""

from __future__ import annotations

import sys
from typing import Any

import figures
import package
from stages import STAGES

REMEDY = "run `make gpu` on a machine with a GPU, then `python benchmarks/gpu/figures.py --keep OUT` (docs/gpu.md)"


def problem_of(document: dict[str, Any], digest: str) -> str | None:
    """Why one document does not do for a release of the sources ``digest``; None where it does."""
    device = document.get("device", "cpu")
    if document.get("rehearsal", True) or device == "cpu":
        return "the results are of a rehearsal on the CPU"
    if document.get("plugins") != digest:
        return f"the results of {device} are of other sources of plugins/ (commit {document.get('commit', '')[:12]})"
    for stage in STAGES:
        ended = document.get("stages", {}).get(stage.name, {}).get("status", "not run")
        if stage.required and ended != "passed":
            return f"on {device} the stage {stage.name} is {ended}"
    if _broken := document["stages"]["parity"].get("result", {}).get("broken", ["unknown"]):
        return f"on {device} these inputs are drawn wrong: {', '.join(_broken)}"
    return None


def problem(documents: list[dict[str, Any]], digest: str) -> str | None:
    """Why no release may be made; None where one document does."""
    if not documents:
        return "there are no results of a GPU"
    problems = [problem_of(document, digest) for document in documents]
    return None if None in problems else "; ".join(map(str, problems))


def main() -> int:
    found = problem(figures.kept_results(), package.plugins_digest())
    if found is not None:
        print(f"no release: {found}: {REMEDY}", file=sys.stderr)
        return 1
    print("the kernels of this checkout have run on a GPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
