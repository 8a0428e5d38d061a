"""Times a step of distribution matching against the loop of its authors, from a checkout that you give.

Usage: git clone https://github.com/VICO-UoE/DatasetCondensation
       python benchmarks/distill_step.py --reference DatasetCondensation [--widths 128 32] [--threads 2] [--rounds 9]

Their loop is ``main_DM.py`` with its own settings: batches of 256 real images, DSA, 30 distilled images a class, here
of 10 classes of 32 x 32 pixels in colour. Ours is ``gsdd.distill`` with its defaults, which distills 30 images of 22
Gaussians a class. Each runs in a process of its own and takes a step when asked; the rounds alternate who is first, a
ratio is formed within a round, and the median of the ratios stands first. Images are random bytes: none of the work
depends on what they show.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import torch

CLASSES, PER_CLASS, SIDE, IMAGES, BATCH_REAL = 10, 512, 32, 30, 256


class Pace:
    """Lets a loop go on step by step: each call of :meth:`step` ends one step and waits until the next is asked for."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._since: tuple[float, float] | None = None

    def step(self) -> None:
        now = (time.perf_counter(), time.process_time())
        self._pipe.send(None if self._since is None else (now[0] - self._since[0], now[1] - self._since[1]))
        if not self._pipe.recv():
            os._exit(0)
        self._since = (time.perf_counter(), time.process_time())


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (CLASSES * PER_CLASS, 3, SIDE, SIDE)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def labels() -> torch.Tensor:
    return torch.arange(CLASSES).repeat_interleave(PER_CLASS)


def _unused(*_: Any, **__: Any) -> None:
    """Stands for what the loop imports and does not need: reading files and drawing pictures."""


def run_reference(pipe: Connection, checkout: str, folder: str, width: int, threads: int) -> NoReturn:
    """The authors' ``main_DM.main`` on random images; the step begins where it asks for a fresh network."""
    torch.set_num_threads(threads)
    for name in (
        "torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.utils", "scipy", "scipy.ndimage",
        "scipy.ndimage.interpolation",
    ):  # fmt: skip
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision"].__dict__.update(datasets=None, transforms=None)
    sys.modules["torchvision.utils"].__dict__.update(save_image=_unused)
    sys.modules["scipy.ndimage.interpolation"].__dict__.update(rotate=_unused)
    sys.path.insert(0, checkout)
    import main_DM

    pace, make = Pace(pipe), main_DM.get_network
    pixels = (images().float() / 255 - 0.5) / 0.25
    dataset = list(zip(pixels, labels().tolist(), strict=True))
    names = [str(index) for index in range(CLASSES)]

    def get_network(*arguments: Any) -> Any:
        pace.step()
        return make(*arguments)

    main_DM.get_network = get_network
    main_DM.get_dataset = lambda *_: (3, (SIDE, SIDE), CLASSES, names, [0.5] * 3, [0.25] * 3, dataset, None, None)
    model = "ConvNet" if width == 128 else f"ConvNetW{width}"
    sys.argv = ["main_DM", "--model", model, "--ipc", str(IMAGES), "--num_eval", "0", "--batch_real", str(BATCH_REAL)]
    # It makes its folders, and tells of each tenth step, where it stands.
    os.chdir(folder)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        main_DM.main()
    raise SystemExit("the reference ended before the rounds did")


def run_ours(pipe: Connection, width: int, threads: int, options: dict[str, Any]) -> NoReturn:
    """``gsdd.distill`` on the same images; the step ends where it reports its progress."""
    torch.set_num_threads(threads)
    import gsdd_runtime as gsdd

    pace = Pace(pipe)
    data = gsdd.RealData.of("random", (images(), labels()), None, [str(index) for index in range(CLASSES)])
    gsdd.distill(
        data, ipc=1, gpc=IMAGES, network=f"convnet3-w{width}", init="random", device="cpu",
        progress=lambda _: pace.step(), **options,
    )  # fmt: skip
    raise SystemExit("ours ended before the rounds did")


class Contestant:
    """A loop in a process of its own, which lies still between the steps."""

    def __init__(self, run: Callable[..., NoReturn], *arguments: Any) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def step(self) -> tuple[float, float]:
        """Seconds of one step, on the wall and on the processors."""
        self._pipe.send(True)
        wall, processors = self._pipe.recv()
        return wall, processors

    def end(self) -> None:
        self._pipe.send(False)
        self._process.join()


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
    parser.add_argument("--reference", required=True, help="a checkout of VICO-UoE/DatasetCondensation")
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2, help="steps before the first that counts")
    parser.add_argument("--options", type=json.loads, default={}, help="more options of gsdd.distill, as JSON")
    arguments = parser.parse_args()
    checkout = str(Path(arguments.reference).resolve())
    if not Path(checkout, "main_DM.py").exists():
        raise SystemExit(f"{checkout} has no main_DM.py: give a checkout of VICO-UoE/DatasetCondensation")
    print("| width | times as fast | range | by processor seconds | reference, s | ours, s | load |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with TemporaryDirectory() as folder:
        for width in arguments.widths:
            pair = {
                "reference": Contestant(run_reference, checkout, folder, width, arguments.threads),
                "ours": Contestant(run_ours, width, arguments.threads, arguments.options),
            }
            print("|", width, "|", " | ".join(measure(pair, arguments.rounds, arguments.warmup)), "|", flush=True)


if __name__ == "__main__":
    main()
