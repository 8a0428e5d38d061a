"""What a run shows of itself after every step, to whoever logs, draws or judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Moment:
    """A step is done.

    Attributes:
        phase: its name.
        step: steps of the phase that are done.
        total: steps of the phase.
        loss: of the step.
        parts: scalars beside the loss, by name.
        learning_rate: of the images, in this step.
        images: real and distilled ones that the step looked at.
        learned: what is learned beside the images, by name.
        sharing: seconds that the processes which share the run took to tell each other of the step; None for one.
    """

    phase: str
    step: int
    total: int
    loss: float
    parts: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float = 0.0
    images: int = 0
    learned: Mapping[str, Tensor] = field(default_factory=dict)
    sharing: float | None = None

    def learned_values(self) -> dict[str, float]:
        """What is learned as numbers: the mean of a tensor of several."""
        return {name: float(value.detach().float().mean()) for name, value in self.learned.items()}


# Says whether it did something that a run which goes on should not do again: a checkpoint is then written.
Watcher = Callable[[Moment], bool | None]


def unwatched(moment: Moment) -> None:
    """Shows a step to nobody."""


def watched(watchers: Sequence[Watcher]) -> Watcher:
    """All of them as one."""

    def watch(moment: Moment) -> bool:
        # Each is told, whatever the ones before say.
        return any([watcher(moment) is True for watcher in watchers])  # noqa: C419

    return watch
