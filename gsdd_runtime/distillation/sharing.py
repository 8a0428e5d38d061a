"""What the processes that share a run tell each other in a step: gradients, or the images that each has moved, or
nothing but numbers, where each holds images of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.objectives import Objective
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.representations import CODINGS
from gsdd_runtime.distillation.state import RunState
from gsdd_runtime.distillation.stopping import StopRequest
from gsdd_runtime.errors import InputError
from gsdd_runtime.ranks import Ranks
from gsdd_runtime.wording import counted


class Shared:
    """The state of a run as one of its processes has it.

    Where images have no ``owner``, the gradients of all processes are added up before a move, and all of them move all
    images alike. Where they have, each process moves the images of its own by their own losses, as Adam moves each
    number by itself, and takes over the others' once the step is done. Where images are divided, no process needs the
    others', and their losses alone are added up. Either way one all-reduce is all that is sent.

    Args:
        ranks: the processes.
        state: of this one.
        owner: see :class:`gsdd_runtime.distillation.engine.Phase`.
        stop: whether this process was asked to stop; the others are told.

    Attributes:
        divided: each process holds images of its own.
        due: the first process writes a checkpoint after this step. It says so before the step; the others, whose
            images it needs, know after it.
        seconds: that the all-reduce of the last step took, the wait for the slowest process among them; None in a run
            of one process.
    """

    def __init__(self, ranks: Ranks, state: RunState, owner: Tensor | None, stop: StopRequest | None = None) -> None:
        self._ranks = ranks
        self._state = state
        self._others = None if owner is None or ranks.count == 1 else owner != ranks.rank
        self._stop = stop
        self._told_to_stop = False
        self.divided = state.division is not None
        self.due = False
        self.seconds: float | None = None
        if ranks.count > 1:
            # Choosing first images may round otherwise on another machine.
            ranks.lead([value for _, value, _ in self._alike()])

    def gathered(
        self, loss: Tensor, parts: Mapping[str, Tensor | float], images: int, moves: bool
    ) -> tuple[Tensor, dict[str, Tensor | float], int, bool]:
        """The sum over the processes of a loss, its parts and its images, and whether the images are to move by it;
        gradients of what all processes hold alike are added up with it.
        """
        if self._ranks.count == 1 or self._others is not None:
            return loss, dict(parts), images, moves
        self._state.fill_gradients()
        gradients = [value.grad for _, value, _ in self._alike() if value.grad is not None]
        numbers = self._numbers([float(moves), loss, *parts.values()], images, loss.device)
        self.seconds = self._ranks.add_up([*gradients, numbers])
        images = self._taken(numbers)
        return numbers[1], dict(zip(parts, numbers[2:-3], strict=True)), images, bool(numbers[0] > 0)

    def joined(self, loss: float, parts: Mapping[str, float], images: int) -> tuple[float, dict[str, float], int]:
        """At the end of a step: the same numbers, and the images that others have moved where each moves its own."""
        if self._ranks.count == 1 or self._others is None:
            return loss, dict(parts), images
        moved = self._state.tensors_of_images()
        kept = [] if self.divided else [value for value in moved if value.dim() > 0]
        with torch.no_grad():
            for value in kept:
                value[self._others.to(value.device)] = 0
        # Not every process came to them in the same order.
        names = sorted(parts)
        numbers = self._numbers([loss, *(parts[name] for name in names)], images, moved[0].device)
        self.seconds = self._ranks.add_up([*kept, numbers])
        told = numbers[1:-3].tolist()
        return float(numbers[0]), dict(zip(names, told, strict=True)), self._taken(numbers)

    def stopping(self) -> bool:
        """Whether the run is to stop after this step: the same in every process."""
        if self._ranks.count > 1:
            return self._told_to_stop
        return self._stop is not None and self._stop.asked

    def _alike(self) -> Iterator[tuple[str, Tensor, torch.optim.Optimizer]]:
        """What is moved and the same in all processes."""
        for name, value, optimizer in self._state.moved():
            if not self.divided or not name.startswith("parameter/"):
                yield name, value, optimizer

    def _numbers(self, values: list[Tensor | float], images: int, device: torch.device) -> Tensor:
        asked = self._stop is not None and self._stop.asked
        told = [*values, float(images), float(asked), float(self.due)]
        return torch.stack([torch.as_tensor(one, dtype=torch.float32, device=device).detach() for one in told])

    def _taken(self, numbers: Tensor) -> int:
        images, asked, due = numbers[-3:].tolist()
        self._told_to_stop = self._told_to_stop or asked > 0
        self.due = due > 0
        return round(images)


def division_of(options: ResolvedOptions, ranks: Ranks) -> Division | None:
    """How the images of a run are divided over its processes; None where each has to hold all of them."""
    apart = options.objective_type.apart and options.representation_type.divisible
    classes = options.room.data.classes
    return Division(classes, options.gpc, ranks) if apart and 1 < ranks.count <= classes else None


def check_shared(objective: Objective, options: ResolvedOptions, processes: int) -> None:
    """Before the first step of a run of several processes.

    Raises:
        InputError: its method cannot be shared, or not by so many.
    """
    shares = objective.shares()
    if shares is None:
        raise InputError(f"method {options.method} runs in one process: start it without torchrun")
    count, what = shares
    if count < processes:
        raise InputError(
            f"method {options.method} has {counted(count, what)} to share in a step, and there are {processes} "
            f"processes: start at most {count}" + ("" if what == "class" else ", or raise --trajectories")
        )
    if objective.update != "loss":
        return
    # What moves after each class, and is not of one class, would have to be sent as often.
    why = "coding entropy" if options.coding != CODINGS[0] else "what is learned beside the images"
    if options.coding != CODINGS[0] or objective.learned():
        raise InputError(f"{why} moves after each class in turn: give --update step, or start one process")
