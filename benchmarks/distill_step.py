"""Times a step of an objective against the loop of its authors, from a checkout that you give.

Usage: git clone https://github.com/VICO-UoE/DatasetCondensation
       python benchmarks/distill_step.py --method dm --reference DatasetCondensation [--widths 128 32] [--threads 2]

    --method   --reference, a checkout of
    dm, dc     VICO-UoE/DatasetCondensation (main_DM.py; main.py with DSA, a fresh network a step)
    tm         GeorgeCazenavette/mtt-distillation (distill.py)
    ncfm       gszfwsb/NCFM (condenser/Condenser.py)
    dance      Hansong-Zhang/DANCE (DANCE.py)

Theirs has 30 distilled images a class, here of 10 classes of 32 x 32 pixels in colour, and its own settings but for
those of a step that both sides take (``--options``: batches of real images; 10 unrolled steps of 32 images for tm, so
that their graph fits). Ours is ``gsdd.distill``, which distills 30 images of 22 Gaussians a class. Each runs in a
process of its own and takes a step when asked; the rounds alternate who is first, a ratio is formed within a round, and
the median of the ratios stands first. Images and experts are random: none of the work depends on what they show.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from step_ours import run_ours
from step_pace import Contestant
from step_references import REFERENCES


def measure(pair: dict[str, Contestant], rounds: int, warmup: int) -> list[str]:
    """The cells of a table's line: ratios of wall clock, their range, of processor seconds; the wall clock itself."""
    for contestant in pair.values():
        for _ in range(warmup):
            contestant.step()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in pair}
    for number in range(rounds):
        for name in list(pair) if number % 2 == 0 else reversed(pair):
            taken[name].append(pair[name].step())
    for contestant in pair.values():
        contestant.end()
    walls, processors = (
        sorted(theirs[which] / ours[which] for theirs, ours in zip(taken["reference"], taken["ours"], strict=True))
        for which in (0, 1)
    )
    seconds = [statistics.median(wall for wall, _ in taken[name]) for name in ("reference", "ours")]
    return [
        f"{statistics.median(walls):.2f}", f"{walls[0]:.2f} to {walls[-1]:.2f}", f"{statistics.median(processors):.2f}",
        *(f"{value:.3f}" for value in seconds), f"{os.getloadavg()[0]:.1f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=list(REFERENCES), default="dm")
    parser.add_argument("--reference", required=True, help="a checkout of the repository of the method's authors")
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2, help="steps before the first that counts")
    parser.add_argument("--options", type=json.loads, default={}, help="of a step, for both sides, as JSON")
    parser.add_argument("--ours", type=json.loads, default={}, help="more options of gsdd.distill, as JSON")
    arguments = parser.parse_args()
    reference = REFERENCES[arguments.method]
    checkout = str(Path(arguments.reference).resolve())
    if not Path(checkout, reference.file).exists():
        raise SystemExit(f"{checkout} has no {reference.file}: give a checkout of {reference.repository}")
    options = reference.options | arguments.options
    print("| method | width | times as fast | range | by processor seconds | reference, s | ours, s | load |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for width in arguments.widths:
        with TemporaryDirectory() as folder:
            shared = (width, arguments.threads)
            pair = {
                "reference": Contestant(reference.run, checkout, folder, *shared, options),
                "ours": Contestant(run_ours, folder, arguments.method, *shared, options | arguments.ours),
            }
            cells = measure(pair, arguments.rounds, arguments.warmup)
        print("|", arguments.method, "|", width, "|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
