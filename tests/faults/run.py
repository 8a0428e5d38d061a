"""Kills commands, fails their writes, takes their memory and rights, and checks what is left; prints the counts.

    python tests/faults/run.py                      a hundred kills of each command, and all other faults
    python tests/faults/run.py --short              what the tests run: a few of each
    python tests/faults/run.py --kills 10 --only "distill dm" experts --seed 7
    python tests/faults/run.py --until 100 --keep benchmarks/results/faults.json
                                                    what is missing of a hundred that died of a kill, of each command

After each fault: whatever stands under its final name is whole and what an undisturbed run writes, or not there; what
was reported saved is there; a process that lived told the reason in one line and left nothing half-written; the command
said again ends in the same bytes, and leaves nothing else behind. What is otherwise is told, and the run ends with 1.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

BROKEN = "broken"
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each command, at random moments")
    parser.add_argument("--until", type=int, help="kills alone, until as many of each died, with those that --keep has")
    parser.add_argument("--calls", type=int, default=50, help="of each command, at most: to kill it in, and to fail")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="commands by name")
    parser.add_argument("--faults", nargs="*", default=[], help="kinds by name")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--keep", type=Path, help="adds the counts to this file, from a seed that it has not")
    given = parser.parse_args()
    if given.until and not given.keep:
        parser.error("--until needs --keep, which says how many there are")
    return given


def preloaded() -> None:
    """Starts this program again with the library that makes calls fail."""
    from injection import compiled

    library = compiled(Path(tempfile.mkdtemp(prefix="gsdd-faults-library-")))
    loaded = " ".join(part for part in (str(library), os.environ.get("LD_PRELOAD")) if part)
    os.environ.update(LD_PRELOAD=loaded, GSDD_FAULTS_LIBRARY=str(library), OMP_NUM_THREADS="1")
    os.execv(sys.executable, [sys.executable, *sys.argv])


def main() -> None:
    given = arguments()
    if "GSDD_FAULTS_LIBRARY" not in os.environ:
        preloaded()
    from faults import KINDS, Bench, BrokenError
    from tally import KILLED, Tally

    tally = Tally(given.keep) if given.keep else None
    if tally:
        given.seed = tally.next_seed()
        tally.begin(shlex.join(["python", "tests/faults/run.py", *sys.argv[1:]]), given.seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gsdd-faults-") as place:
        amounts = (2, 5) if given.short else (given.kills, given.calls)
        bench = Bench(Path(place), given.seed, *amounts, short=given.short)
        jobs = [job for job in bench.jobs if not given.only or job.name in given.only]
        found: dict[str, Counter[str]] = {}
        for job in jobs:
            if given.until and tally:
                given.faults = [KILLED]
                bench.deaths = tally.missing(job.name, given.until)
                if not bench.deaths:
                    continue
            bench.undisturbed(job)
            for name, kind in KINDS.items():
                if given.faults and name not in given.faults:
                    continue
                counts: Counter[str] = Counter()
                try:
                    for what in kind(bench, job):
                        counts[what] += 1
                except BrokenError as error:
                    print(f"BROKEN: {error}", file=sys.stderr)
                    counts[BROKEN] += 1
                found.setdefault(name, Counter()).update(counts)
                if tally and counts:
                    tally.add(job.name, name, counts)
                told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
                print(f"{time.monotonic() - begun:6.0f} s  {job.name:<14} {name:<24} {told or 'none'}", flush=True)
    total = sum((counts.total() for counts in found.values()), 0)
    print(f"{total} faults in {len(jobs)} commands, {time.monotonic() - begun:.0f} s, seed {given.seed}; by kind:")
    for name, counts in found.items():
        print(f"  {name:<24} {counts.total():>6}   " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    if any(BROKEN in counts for counts in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
