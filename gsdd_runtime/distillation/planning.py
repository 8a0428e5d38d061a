"""What a run will do, told before its first step, and how long it will take, told after a few."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.objectives import Objective
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.distillation.watching import Moment
from gsdd_runtime.memory import resident_memory
from gsdd_runtime.splatting import tiles
from gsdd_runtime.wording import bytes_in_words, counted, time_in_words

# What is worked with beside the tensors that a graph keeps.
WORKING_SHARE = 0.25
# Of each master: itself, its gradient, two moments.
COPIES = 4
# Steps are timed for as long before a run's length is told.
TIMED_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        method, representation, network, device: its own.
        classes, images, images_per_class: of the set.
        gaussians_per_image: None for pixels.
        bytes_per_class: of the images as they are stored; of coded ones the estimate that they were planned with.
        fit_steps, steps: of fitting and of matching.
        passes: losses that a step is made of, each with a graph of its own; None where the method does not say.
        memory_bytes: that masters, optimiser and the largest graph take of each process, estimated; None where the
            method does not say how many images that graph holds.
        renderer: what draws Gaussians, and why; None for pixels.
        processes: that share the run.
    """

    method: str
    representation: str
    network: str
    device: str
    classes: int
    images: int
    images_per_class: int
    gaussians_per_image: int | None
    bytes_per_class: int
    fit_steps: int
    steps: int
    passes: int | None
    memory_bytes: int | None
    renderer: str | None = None
    processes: int = 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """One line for people."""
        size = "" if self.gaussians_per_image is None else f" of {counted(self.gaussians_per_image, 'Gaussian')}"
        fit = f"{counted(self.fit_steps, 'step')} of fitting, then " if self.fit_steps else ""
        passes = "" if self.passes is None else f" of {counted(self.passes, 'pass')}"
        matching = f"{counted(self.steps, 'step')}{passes} by {self.method} with {self.network}"
        if self.steps == 0:
            matching = "no matching,"
        drawn = "" if self.renderer is None or self.device == "cpu" else f", drawn by {self.renderer}"
        memory = "" if self.memory_bytes is None else f"; about {bytes_in_words(self.memory_bytes)} of memory"
        if memory and self.processes > 1:
            memory += f" in each of {self.processes} processes"
        held = resident_memory()
        if memory and held is not None and self.device == "cpu":
            memory += f" beside {bytes_in_words(held)} that PyTorch and the data take"
        return (
            f"{counted(self.images, 'image')}{size} ({self.images_per_class} a class, "
            f"{bytes_in_words(self.bytes_per_class)} a class), {fit}{matching} on {self.device}{drawn}{memory}"
        )


def plan_of(options: ResolvedOptions, representation: Representation, objective: Objective) -> Plan:
    """The plan of a run, from its parts; ``representation`` may hold a part of the images."""
    facts, classes, held = options.storage.facts, options.room.data.classes, len(representation)
    images = classes * options.gpc
    stored = representation.nbytes * images // held
    footprint = objective.footprint()
    memory = None
    if footprint is not None:
        masters = sum(part.numel() * part.element_size() for part in representation.parameters().values())
        working = footprint.working_bytes
        if working is None:
            working = int(footprint.images * graph_bytes(objective) * (1 + WORKING_SHARE))
        # The first process gathers what is stored once the steps are done.
        memory = max(COPIES * masters + working, masters + stored)
    return Plan(
        method=options.method,
        representation=options.representation if options.coding == "none" else f"{options.representation}, coded",
        network=options.network,
        device=options.device,
        classes=classes,
        images=images,
        images_per_class=options.gpc,
        gaussians_per_image=facts.get("gaussians_per_image"),
        bytes_per_class=stored // classes,
        fit_steps=options.fit_steps,
        steps=options.iterations,
        passes=None if footprint is None else footprint.passes,
        memory_bytes=memory,
        renderer=_renderer(options, representation, footprint),
        processes=objective.problem.ranks,
    )


def _renderer(options: ResolvedOptions, representation: Representation, footprint: Any) -> str | None:
    """What draws the images of a pass, in words, and why; None where nothing is drawn."""
    count = options.storage.facts.get("gaussians_per_image")
    if count is None:
        return None
    if torch.device(options.device).type == "cpu":
        return "the CPU kernel"
    images = len(representation) if footprint is None else footprint.images
    data = options.room.data
    choice = tiles.choose(images, count, data.height, data.width, tiles.RENDERERS[options.renderer])
    name = "gsplat's tiles" if choice.method == "tiled" else "the direct kernel"
    return f"{name} ({choice.reason})"


def graph_bytes(objective: Objective) -> int:
    """Bytes that the run's network keeps for the gradient of one more image."""
    problem = objective.problem
    shape = (problem.data.channels, *problem.size)
    # As the steps find it; drawing it again does not change what they draw.
    network = problem.network.module

    def kept(count: int) -> int:
        storages: dict[int, int] = {}
        alive: list[Tensor] = []

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
            return tensor

        images = torch.zeros(count, *shape, device=problem.device, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.enable_grad():
            network.embed(images)
        return sum(storages.values())

    # Two and four, as batch norm refuses one.
    return max(0, kept(4) - kept(2)) // 2


class Timing:
    """Says, once a phase, how long it will take by its first steps.

    Args:
        say: told a line.
        seconds: that steps are timed for.
        clock: tells seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        seconds: float = TIMED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._seconds = seconds
        self._clock = clock
        self._phase: str | None = None
        self._from = (0.0, 0)
        self._told = False

    def saw(self, moment: Moment) -> None:
        if moment.phase != self._phase:
            # From the end of the first step on, which is the slowest.
            self._phase, self._from, self._told = moment.phase, (self._clock(), moment.step), False
            return
        passed, steps = self._clock() - self._from[0], moment.step - self._from[1]
        if self._told or passed < self._seconds or moment.step == moment.total:
            return
        self._told = True
        left = (moment.total - moment.step) * passed / steps
        self._say(f"{moment.phase}: {steps / passed:.3g} steps a second, about {time_in_words(left)} left")
