"""Runs `gsdd-rt bench decode` and keeps its result: PROCESSOR-decode.json, .md and .svg in a folder.

Usage: python benchmarks/decode.py [--out benchmarks/results] [--rounds 9] [--points 54,128 364,256 28,28,1] [--add]

With --add, points that the folder's file holds and this run does not measure stay in it: a machine that is quiet only
now and then is measured point by point.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.bench import (
    DEFAULT_POINTS,
    Point,
    render_chart,
    render_markdown,
    run_decode_bench,
)
from gsdd_runtime.progress import Progress

# What two results must share to stand in one file.
SAME = ("processor", "cores", "gsdd_kernel", "gsdd_rt", "torch", "python")


def point(text: str) -> Point:
    """``N,SIDE`` or ``N,SIDE,CHANNELS``."""
    numbers = [int(part) for part in text.split(",")]
    if not 2 <= len(numbers) <= 3:
        raise argparse.ArgumentTypeError(f"{text!r} is no point: give N,SIDE or N,SIDE,CHANNELS")
    return Point(*numbers)


def file_stem(processor: str) -> str:
    """``"Intel(R) Xeon(R) Processor"`` as ``"intel-xeon-processor"``."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", processor.lower())).strip("-")


def show(progress: Progress) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress.step} of {progress.total}", end="", file=sys.stderr, flush=True)


def with_earlier(result: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """``result`` and the points of ``earlier`` that it lacks, in the order of the points."""
    if [earlier["machine"][key] for key in SAME] != [result["machine"][key] for key in SAME]:
        raise SystemExit("the earlier result is of another machine or version: leave --add out")
    measured = {entry["point"] for entry in result["fidelity"]}
    order = [point.name for point in DEFAULT_POINTS]
    merged = dict(result)
    for part in ("fidelity", "results"):
        entries = [*result[part], *(entry for entry in earlier[part] if entry["point"] not in measured)]
        merged[part] = sorted(entries, key=lambda e: order.index(e["point"]) if e["point"] in order else len(order))
    return merged


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure decoding and keep the result.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, help="one number of threads; both 1 and all if left out")
    parser.add_argument("--points", type=point, nargs="+", default=DEFAULT_POINTS, metavar="N,SIDE[,CHANNELS]")
    parser.add_argument("--add", action="store_true", help="keep the other points of the result that is there")
    options = parser.parse_args()
    result = run_decode_bench(options.points, rounds=options.rounds, threads=options.threads, progress=show)
    stem = options.out / f"{file_stem(result['machine']['processor'])}-decode"
    if options.add and stem.with_suffix(".json").is_file():
        result = with_earlier(result, json.loads(stem.with_suffix(".json").read_text(encoding="utf-8")))
    for suffix, text in ((".json", json.dumps(result, indent=1) + "\n"), (".md", render_markdown(result))):
        with atomic_path(stem.with_suffix(suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    render_chart(result, stem.with_suffix(".svg"))
    print(f"wrote {stem}.json, .md and .svg")


if __name__ == "__main__":
    main()
