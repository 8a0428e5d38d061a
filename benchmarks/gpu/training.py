"""Feeding a training job on the device: the loader, whole training steps under each feed, a step in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from writing import DEVICE, Result, arguments, rate, seconds

import gsdd_runtime as gsdd
from gsdd_runtime import networks
from gsdd_runtime.bench.train import run_train_bench
from gsdd_runtime.splatting.gaussians import initial_gaussians
from gsdd_runtime.splatting.op import splat


def make_set(images: int, count: int, side: int) -> gsdd.DistilledSet:
    gaussians = initial_gaussians(images, count, 3, side, side, torch.Generator().manual_seed(0)).bfloat16()
    return gsdd.DistilledSet(gaussians, torch.arange(images) % 10, side, side, mean=(0.45,) * 3, std=(0.25,) * 3)


def loader_rate(distilled: gsdd.DistilledSet, batch: int, steps: int, **form: Any) -> dict[str, float]:
    loader = gsdd.DistilledLoader(distilled, batch, device=DEVICE, steps=steps, drop_last=True, **form)
    return rate(lambda: [None for _ in loader], steps * batch, 0.0)


def dali_rate(distilled: gsdd.DistilledSet, batch: int, steps: int) -> dict[str, float]:
    from gsdd_runtime.loading import dali

    made = dali.pipeline(distilled, batch, device=DEVICE, drop_last=True, flip=True, shift=2)
    left = [len(distilled) // batch]

    def run() -> None:
        for _ in range(steps):
            if left[0] == 0:
                made.reset()
                left[0] = len(distilled) // batch
            made.run()
            left[0] -= 1

    return rate(run, steps * batch, 0.0)


def step_of(network: nn.Module, draw: Callable[[], torch.Tensor], labels: torch.Tensor) -> Callable[[], None]:
    """Decode, forward, backward, and a step of SGD with momentum."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=False)
        nn.functional.cross_entropy(network(draw()), labels).backward()
        optimizer.step()

    return step


def captured(step: Callable[[], None]) -> Callable[[], None]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def graph_seconds(batch: int, steps: int, width: int) -> dict[str, Any]:
    """Of a training step, decoding included, run as it is and replayed from a CUDA graph."""
    distilled = make_set(batch, 22, 32)
    gaussians, labels = distilled.gaussians.to(DEVICE), distilled.labels.to(DEVICE)
    mean, std = (torch.tensor(value, device=DEVICE) for value in (distilled.mean, distilled.std))
    network = networks.build(f"convnet3-w{width}", 3, 10, (32, 32), seed=0).to(DEVICE)
    step = step_of(network, lambda: splat(gaussians, 32, 32, mean=mean, std=std), labels)
    found: dict[str, Any] = {"batch": batch, "network": f"convnet3-w{width}"}
    for _ in range(3):
        step()
    found["eager"] = seconds(lambda: [step() for _ in range(steps)]) / steps
    if DEVICE == "cpu":
        return {**found, "graph": None}
    replay = captured(step)
    replay()
    found["graph"] = seconds(lambda: [replay() for _ in range(steps)]) / steps
    return found


def main() -> int:
    options = arguments(__doc__)
    small, result = options.rehearse, Result(options.out, strict=options.rehearse)
    images, batch, steps, width = (64, 8, 2, 4) if small else (2048, 256, 40, 128)
    small_set, large_set = make_set(images, 22, 32), make_set(images, 54, 32 if small else 128)
    result.measure("loader, 22 at 32", lambda: loader_rate(small_set, batch, steps))
    result.measure("loader, 54 at 128", lambda: loader_rate(large_set, batch, steps))
    half = {"dtype": torch.bfloat16, "channels_last": True}
    result.measure("loader, 54 at 128, bfloat16, channels last", lambda: loader_rate(large_set, batch, steps, **half))
    result.measure("step in a CUDA graph", lambda: graph_seconds(batch, steps, width))
    result.measure("dali, 54 at 128", lambda: dali_rate(large_set, batch, steps))
    sizes: dict[str, Any] = (
        {"names": ("convnet1-w4",), "rounds": 1, "steps": 1, "batch_size": 4, "workers": 0, "images": 8, "fit_steps": 1}
        if small
        else {"rounds": 3, "steps": 20, "batch_size": 256, "images": 1024, "fit_steps": 100}
    )
    result.measure("feeds", lambda: run_train_bench(device=DEVICE, **sizes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
