"""``gsdd-rt bench train``: what decoding costs a training step, against other ways to feed it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import nn

from gsdd_runtime import networks
from gsdd_runtime.bench.feeds import Feed, Gaussians, Memory, all_feeds
from gsdd_runtime.bench.images import real_images
from gsdd_runtime.bench.machine import describe_machine, usable_cores
from gsdd_runtime.bench.points import Point, fitted_workload
from gsdd_runtime.bench.timing import summary
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import InputError
from gsdd_runtime.loading.prefetch import Batch
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.wording import counted

NETWORKS = ("convnet3", "resnet18")
POINT = Point(22, 32)
IMAGES = 1024
CLASSES = 10


def run_train_bench(
    *,
    names: Sequence[str] = NETWORKS,
    rounds: int = 5,
    steps: int = 4,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "auto",
    images: int = IMAGES,
    fit_steps: int = 300,
    progress: Reporter = silent,
) -> dict[str, Any]:
    """Measures whole training steps (forward, backward, SGD with momentum) under each feed, interleaved.

    The set is of 32 x 32 colour images of 22 Gaussians, fitted to real ones: the paper's CIFAR-10 setting at IPC 1.

    Args:
        names: networks to train.
        rounds: each runs every feed once; medians over them are reported.
        steps: of one measurement.
        batch_size: images of a step.
        workers: of the DataLoaders; one a core if left out.
        device: that trains.
        images: in the set.
        fit_steps: of fitting them.
        progress: told of every measurement.

    Returns:
        A document of plain JSON types: ``machine``, ``device``, ``settings`` and ``results``, one for each network
        and feed. ``over_memory`` is the step's time over that with decoded images in memory, formed within a round.
        ``decode_share``, of our loader, is the time of decoding a batch over that same step.

    Raises:
        InputError: an option out of range.
    """
    for name, value in (("rounds", rounds), ("steps", steps), ("batch_size", batch_size), ("images", images)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    where = resolve_device(device)
    workers = usable_cores() if workers is None else workers
    distilled = _make_set(images, fit_steps)
    results = []
    done, total = 0, len(names) * (rounds + 1)
    with tempfile.TemporaryDirectory(prefix="gsdd-bench-") as folder:
        for name in names:
            network = networks.build(name, POINT.channels, CLASSES, (POINT.side, POINT.side), seed=0).to(where)
            runs = [
                Run(feed, network, where) for feed in all_feeds(distilled, batch_size, where, workers, Path(folder))
            ]
            seconds: dict[str, list[float]] = {run.feed.name: [] for run in runs}
            for number in range(rounds + 1):
                for run in runs[number % len(runs) :] + runs[: number % len(runs)]:
                    measured = run.seconds_per_step(steps)
                    if number > 0:  # the first round warms up
                        seconds[run.feed.name].append(measured)
                done += 1
                progress(Progress("bench", done, total))
            results += _results(name, seconds, _decode_seconds(distilled, batch_size, where, rounds))
    return {
        "benchmark": "train",
        "machine": describe_machine(),
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu",
        "settings": {
            "point": POINT.name,
            "rounds": rounds,
            "steps": steps,
            "batch_size": batch_size,
            "workers": workers,
        },
        "results": results,
    }


class Run:
    """One feed and the training loop behind it."""

    def __init__(self, feed: Feed, network: nn.Module, device: torch.device) -> None:
        self.feed = feed
        self._batches: Iterator[Batch] = feed.batches()
        self._network, self._device = network, device
        self._optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def seconds_per_step(self, steps: int) -> float:
        """Time of one step, over ``steps`` of them, from the moment that nothing is made ahead."""
        for _ in range(self.feed.ahead):
            next(self._batches)
        self._synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            images, labels = next(self._batches)
            self._optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(self._network(images), labels).backward()
            self._optimizer.step()
        self._synchronize()
        return (time.perf_counter() - start) / steps

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _make_set(images: int, fit_steps: int) -> DistilledSet:
    workload = fitted_workload(POINT, real_images(), min(images, 64), fit_steps, seed=0)
    gaussians = workload.gaussians[torch.arange(images) % len(workload.gaussians)]
    labels = torch.arange(images) % CLASSES
    return DistilledSet(gaussians, labels, POINT.side, POINT.side, mean=(0.5,) * 3, std=(0.25,) * 3)


def _decode_seconds(distilled: DistilledSet, batch_size: int, device: torch.device, rounds: int) -> list[float]:
    """Of one batch by our loader, with nothing else to do."""
    feed = Gaussians(distilled, batch_size, device)
    batches = feed.batches()
    for _ in range(feed.ahead + 4):
        next(batches)
    seconds = []
    for _ in range(rounds):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(32):
            next(batches)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append((time.perf_counter() - start) / 32)
    return seconds


def _results(network: str, seconds: dict[str, list[float]], decode: list[float]) -> list[dict[str, Any]]:
    floor = seconds[Memory.name]
    entries = []
    for feed, times in seconds.items():
        entry: dict[str, Any] = {
            "network": network,
            "feed": feed,
            "seconds_per_step": summary(times),
            "over_memory": summary([time / least for time, least in zip(times, floor, strict=True)]),
        }
        if feed == Gaussians.name:
            entry["decode_share"] = summary([spent / least for spent, least in zip(decode, floor, strict=True)])
        entries.append(entry)
    return entries


def render_train_table(result: dict[str, Any]) -> Table:
    """The result as a table: ratios first."""
    settings = result["settings"]
    table = Table(
        title=f"a training step of {counted(settings['batch_size'], 'image')}, {settings['point']}, on "
        f"{result['device']}; {result['machine']['processor']}, {counted(result['machine']['cores'], 'core')}"
    )
    for header in ("network", "feed", "time over in-memory", "milliseconds a step", "decoding, share of the step"):
        table.add_column(header, justify="left" if header in ("network", "feed") else "right")
    for entry in result["results"]:
        ratio, share = entry["over_memory"], entry.get("decode_share")
        table.add_row(
            entry["network"],
            entry["feed"],
            f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
            f"{1e3 * entry['seconds_per_step']['median']:.1f}",
            f"{100 * share['median']:.1f} %" if share else "",
        )
    return table
