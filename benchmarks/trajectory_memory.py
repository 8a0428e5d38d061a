"""Memory of a step of trajectory matching by the number of unrolled steps, against the graph of all of them.

    python benchmarks/trajectory_memory.py [--network convnet3-w32] [--batch 64] [--side 32] [--steps 10,20,40,60]
        [--device cpu] [--reference mtt-distillation] [--without-graph] [--json]

Each measurement is a process of its own. On the CPU it is the most that the process had resident (`ru_maxrss`), less
what it had before the step; on CUDA it is `torch.cuda.max_memory_allocated`. "plain graph" keeps the graph of all
steps, as the published code of trajectory matching does; it is written out here. With `--reference`, a checkout of
github.com/GeorgeCazenavette/mtt-distillation, the "published loop" runs too: that of its distill.py, with its ConvNet
in its ReparamModule. The estimate is what `gsdd-rt distill`
says before a run. Weights, images and target are drawn, nothing is augmented. Seconds are those of one step, the first
included, by the wall clock and of the processor: they tell ratios and no more.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime import networks
from gsdd_runtime.distillation.objectives.trajectory_distance import Unrolling, trajectory_distance
from gsdd_runtime.distillation.objectives.unrolled_memory import StepMemory
from gsdd_runtime.networks.convnet import ConvNetPlan

CHANNELS, CLASSES = 3, 10
OURS, PLAIN, PUBLISHED = "one step's graph", "plain graph", "published loop"


def plain_distance(unrolling: Unrolling, images: Tensor, labels: Tensor, rate: Tensor) -> Tensor:
    """The same loss with the graph of all steps."""
    weights = unrolling.start.clone().requires_grad_()
    for step, batch in enumerate(unrolling.batches):
        loss = unrolling.step_loss(step, weights, images[batch], labels[batch])
        weights = weights - rate * torch.autograd.grad(loss, weights, create_graph=True)[0]
    moved = (unrolling.start - unrolling.target).square().sum()
    return (weights - unrolling.target).square().sum() / moved


def published_distance(reference: str, plan: ConvNetPlan, unrolling: Unrolling, images: Tensor, labels: Tensor,
                       rate: Tensor) -> Tensor:  # fmt: skip
    """The loop of distill.py, on the modules of its checkout."""
    sys.path.insert(0, reference)
    from networks import ConvNet
    from reparam_module import ReparamModule

    network = ConvNet(CHANNELS, CLASSES, plan.width, plan.depth, "relu", "instancenorm", "avgpooling", images.shape[2:])
    student = ReparamModule(network.to(images.device)).train()
    criterion = torch.nn.CrossEntropyLoss()
    weights = [unrolling.start.clone().requires_grad_()]
    for batch in unrolling.batches:
        loss = criterion(student(images[batch], flat_param=weights[-1]), labels[batch])
        (gradient,) = torch.autograd.grad(loss, weights[-1], create_graph=True)
        weights.append(weights[-1] - rate * gradient)
    distance = functional.mse_loss(weights[-1], unrolling.target, reduction="sum")
    return distance / functional.mse_loss(unrolling.start, unrolling.target, reduction="sum")


def cross_entropy(
    network: torch.nn.Module, shapes: list[tuple[str, torch.Size]], step: int, weights: Tensor, images: Tensor,
    labels: Tensor,
) -> Tensor:  # fmt: skip
    parts = weights.split([shape.numel() for _, shape in shapes])
    named = {name: part.view(shape) for (name, shape), part in zip(shapes, parts, strict=True)}
    return functional.cross_entropy(torch.func.functional_call(network, named, (images,)), labels)


def measured(options: argparse.Namespace, kind: str, steps: int, pipe: Any) -> None:
    """Sends bytes, seconds, the estimate and the loss of one step."""
    torch.set_num_threads(options.threads)
    device, shape = torch.device(options.device), (options.batch, CHANNELS, options.side, options.side)
    network = networks.build(options.network, CHANNELS, CLASSES, shape[2:], seed=0).to(device)
    shapes = [(name, part.shape) for name, part in network.named_parameters()]
    start = torch.cat([part.detach().flatten() for part in network.parameters()])
    generator = torch.Generator().manual_seed(0)
    target = start + 0.01 * torch.randn(len(start), generator=generator).to(device)
    images = torch.randn(shape, generator=generator).to(device).requires_grad_()
    labels = (torch.arange(options.batch) % CLASSES).to(device)
    rate = torch.tensor(0.01, device=device, requires_grad=True)
    loss_of = partial(cross_entropy, network, shapes)
    batches = [torch.arange(options.batch, device=device)] * steps
    estimate = StepMemory.of(loss_of, len(start), shape, CLASSES, steps, device).needed()
    plan = ConvNetPlan.of(options.network)
    distance: Callable[..., Tensor] = {
        OURS: trajectory_distance, PLAIN: plain_distance,
        PUBLISHED: partial(published_distance, options.reference, plan),
    }[kind]  # fmt: skip
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started, processor = time.perf_counter(), time.process_time()
    loss = distance(Unrolling(start, target, batches, loss_of), images, labels, rate)
    loss.backward()
    value = float(loss.detach())
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    if device.type == "cuda":
        taken = torch.cuda.max_memory_allocated()
    else:
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    pipe.send({
        "kind": kind, "steps": steps, "bytes": taken, "seconds": seconds, "processor_seconds": processor,
        "estimate": estimate, "loss": value,
    })  # fmt: skip


def in_process(options: argparse.Namespace, kind: str, steps: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=measured, args=(options, kind, steps, theirs))
    process.start()
    theirs.close()
    try:
        found: dict[str, Any] = ours.recv()
    except EOFError:
        found = {"kind": kind, "steps": steps, "bytes": None, "estimate": None}
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="convnet3-w32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--steps", default="10,20,40,60")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reference", help="a checkout of mtt-distillation")
    parser.add_argument("--without-graph", action="store_true", help="leave the plain graph out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = [OURS, *([] if options.without_graph else [PLAIN]), *([PUBLISHED] if options.reference else [])]
    rows = []
    for steps in [int(part) for part in options.steps.split(",")]:
        for kind in kinds:
            rows.append(in_process(options, kind, steps))
            row = rows[-1]
            shown = "killed"
            if row["bytes"] is not None:
                seconds = f"{row['seconds']:7.1f} s, {row['processor_seconds']:.1f} of the processor"
                shown = f"{row['bytes'] / 1e6:8.0f} MB {seconds}"
            estimate = "" if row["estimate"] is None else f"  estimate {row['estimate'] / 1e6:.0f} MB"
            print(f"{steps:3} steps  {kind:17} {shown}{estimate}", file=sys.stderr, flush=True)
    if options.json:
        about = {key: value for key, value in vars(options).items() if key not in ("json", "reference")}
        print(json.dumps({"options": about, "torch": torch.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
