"""A run of a thousand classes, 50 images of 224 x 224 in each: its estimate first, then what its processes hold.

    python benchmarks/thousand_classes.py [--classes 1000] [--steps 2] [--plan] [--json]
    torchrun --nproc-per-node 2 benchmarks/thousand_classes.py

Real images are synthetic: 50 of each class in a file that is mapped, one of them noise, the others black, which takes
no room on a disk that keeps holes. Distribution matching with a small network, two real images and one distilled one of
each class in a step, the writing of a checkpoint after the last, and of the set. Memory is sampled: what a process has
of its own (RssAnon), and all of it with the pages of the file (VmHWM). Exits 1 where the processes of this machine hold
more than the bound together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from gsdd_runtime import ranks
from gsdd_runtime.bench.machine import describe_machine
from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation import distill, plan
from gsdd_runtime.distillation.journal import last_of, read_log
from gsdd_runtime.wording import bytes_in_words, counted

SIDE, PER_CLASS, BOUND = 224, 50, 24e9


def synthetic(path: Path, classes: int) -> RealData:
    """Made by the first process, mapped by all."""
    together, shape = ranks.joined(), (classes * PER_CLASS, 3, SIDE, SIDE)
    size = classes * PER_CLASS * 3 * SIDE * SIDE
    if together.first:
        with open(path, "wb") as file:
            file.truncate(size)
    together.wait()
    images = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8).view(shape)
    if together.first:
        generator = torch.Generator().manual_seed(0)
        for index in range(classes):
            images[index * PER_CLASS] = torch.randint(256, shape[1:], generator=generator, dtype=torch.uint8)
    together.wait()
    labels = torch.arange(classes).repeat_interleave(PER_CLASS)
    names = tuple(map(str, range(classes)))
    return RealData(
        "synthetic", images, labels, images[:0], labels[:0], names, (0.5,) * 3, (0.25,) * 3, "sha256:synthetic"
    )


class Watched:
    """The most that this process has of its own, sampled by a thread."""

    def __init__(self) -> None:
        self.most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.most = max(self.most, held("RssAnon"))


def held(name: str) -> int:
    """Bytes of this process, by a line of its status."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def _remove(folder: Path) -> None:
    """Once every process is done with it; by the first."""
    ranks.joined().wait()
    if ranks.joined().first:
        shutil.rmtree(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--plan", action="store_true", help="print the estimate alone")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with ranks.joining() if ranks.launched() else nullcontext():
        together = ranks.joined()
        # All processes have to see the same folder.
        folder = tempfile.mkdtemp(prefix="thousand-") if together.first else ""
        place = Path(together.told(folder)[0])
        data = synthetic(place / "images", options.classes)
        chosen = {
            "method": "dm", "network": "convnet3-w4", "ipc": 1, "gpc": PER_CLASS, "batch_real": 2, "batch_syn": 1,
            "classes_per_pass": 1, "init": "random", "iterations": options.steps, "device": "cpu",
        }  # fmt: skip
        kept = {"checkpoint_interval": options.steps, "checkpoint_seconds": 1e9}
        if options.plan:
            if together.first:
                print(plan(data, **chosen).text())
            _remove(place)
            return 0
        say = print if together.first and not options.json else lambda _: None
        began = time.process_time()
        with Watched() as watched:
            made = distill(data, out=place / "set.safetensors", say=say, **kept, **chosen)
        nbytes = (place / "set.safetensors").stat().st_size
        records = read_log(place / "set.safetensors.log.jsonl")
        last = last_of(records, "step") or {}
        _remove(place)
        found = together.told({
            "own_bytes": watched.most, "all_bytes": held("VmHWM"), "processor_seconds": time.process_time() - began,
        })  # fmt: skip
        if not together.first:
            return 0
        document = {
            "machine": describe_machine(), "classes": options.classes, "steps": options.steps,
            "images": len(made), "images_held": records[0]["images_held"], "set_bytes": nbytes,
            "all_reduce_seconds": last.get("all_reduce_seconds"), "processes": found,
        }  # fmt: skip
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        for rank, one in enumerate(found):
            print(
                f"process {rank}: {bytes_in_words(one['own_bytes'])} of its own, {bytes_in_words(one['all_bytes'])} "
                f"with mapped pages, {one['processor_seconds']:.0f} processor seconds"
            )
        print(
            f"{counted(len(made), 'image')} in {bytes_in_words(document['set_bytes'])}, "
            f"{document['images_held']} of them held by process 0"
        )
        if len(found) > 1:
            print(f"{document['all_reduce_seconds']:.3g} s an all-reduce, waiting included")
    return int(sum(one["own_bytes"] for one in found) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
