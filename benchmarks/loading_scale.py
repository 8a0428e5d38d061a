"""Loading by two processes from sets of very different sizes: memory, threads, and batches a second.

    python benchmarks/loading_scale.py [--images 50000,800000,5000000] [--batch 25] [--batches 100000] [--json]

Images are of one Gaussian at 8 x 8 in gray, so that what is measured is opening, shuffling and gathering, and not
drawing. A file of 16 MB and more is mapped, which two of the three are. Each process is one of two ranks; it opens the
file and walks through whole epochs until it has seen the batches. Memory is what the process has of its own (RssAnon),
and of the file (RssFile), which the system takes back where it is short.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from gsdd_runtime.bench.machine import describe_machine, load_average
from gsdd_runtime.loading.loader import DistilledLoader
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.wording import counted

RANKS, SIDE = 2, 8


def write_set(path: Path, images: int) -> None:
    generator = torch.Generator().manual_seed(0)
    gaussians = torch.rand(images, 1, 7, generator=generator).bfloat16()
    labels = torch.arange(images) % 1000
    DistilledSet(gaussians, labels, SIDE, SIDE, mean=[0.5], std=[0.25]).save(path)


def memory() -> dict[str, float]:
    """Megabytes of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) / 1000 for name in ("RssAnon", "RssFile")}


def walk(path: Path, rank: int, batch: int, batches: int, pipe: Any) -> None:
    torch.set_num_threads(1)
    before = memory()
    began = time.perf_counter()
    loader = DistilledLoader(path, batch, device="cpu", rank=rank, world_size=RANKS)
    opened, seen, marks = time.perf_counter() - began, 0, []
    early = max(1, batches // 100)
    began, processor = time.perf_counter(), time.process_time()
    while seen < batches:
        for _ in loader:
            seen += 1
            if seen in (early, batches):
                marks.append({"batches": seen, "threads": threading.active_count(), **memory()})
            if seen == batches:
                break
    pipe.send({
        "rank": rank, "open_seconds": opened, "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - processor, "before": before, "marks": marks,
    })  # fmt: skip


def measured(images: int, batch: int, batches: int, folder: Path) -> dict[str, Any]:
    path = folder / f"{images}.safetensors"
    write_set(path, images)
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(RANKS)]
    processes = [
        context.Process(target=walk, args=(path, rank, batch, batches, theirs))
        for rank, (_, theirs) in enumerate(pairs)
    ]
    for process in processes:
        process.start()
    found = [ours.recv() for ours, _ in pairs]
    for process in processes:
        process.join()
    return {"images": images, "file_megabytes": path.stat().st_size / 1e6, "ranks": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="50000,800000,5000000")
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = [
            measured(int(images), options.batch, options.batches, Path(folder)) for images in options.images.split(",")
        ]
    document = {"machine": describe_machine(), "load": load_average(), "batch": options.batch, "sets": sets}
    if options.json:
        print(json.dumps(document, indent=2))
        return
    for one in sets:
        print(f"{counted(one['images'], 'image')}, {one['file_megabytes']:.0f} MB:")
        for rank in one["ranks"]:
            early, late = rank["marks"][0], rank["marks"][-1]
            print(
                f"  rank {rank['rank']}: opened in {rank['open_seconds']:.2f} s, "
                f"batches a processor second: {late['batches'] / rank['processor_seconds']:.0f}; own memory "
                f"{early['RssAnon']:.0f} MB after {counted(early['batches'], 'batch')}, {late['RssAnon']:.0f} MB after "
                f"{late['batches']}; of the file {late['RssFile']:.0f} MB; {counted(late['threads'], 'thread')}"
            )


if __name__ == "__main__":
    main()
