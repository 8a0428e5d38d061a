"""What every objective is: a source of losses, and what else a run has to know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError

if TYPE_CHECKING:
    from gsdd_runtime.distillation.problem import Problem, Setting


@dataclass(frozen=True)
class Loss:
    """One loss of a step.

    Attributes:
        value: a scalar; its gradient moves the images and whatever is learned.
        parts: scalars for the log, by name.
        told: what the log calls the loss, where ``value`` stands for its gradient alone.
        moves: False for one that is told of alone: no gradient is taken, and the move that it would be part of is left
            out, for the images and for what is learned.
    """

    value: Tensor
    parts: Mapping[str, Tensor | float] = field(default_factory=dict)
    told: Tensor | None = None
    moves: bool = True


# Stands for the loss that another process of the run has, where the images move after each.
ELSEWHERE = Loss(torch.zeros(()))


@dataclass(frozen=True)
class Learned:
    """A tensor that is learned beside the images; the engine moves it when it moves them.

    Attributes:
        value: float32 leaf.
        optimizer: makes the optimiser of a list that holds it, for example
            ``partial(torch.optim.SGD, lr=1e-5, momentum=0.5)``.
        least, most: it is kept within; None for no bound. Reaching one is said once.
    """

    value: Tensor
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer]
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Footprint:
    """What a step takes.

    Attributes:
        passes: losses with a graph of their own.
        images: that the largest of these graphs holds.
        working_bytes: that it takes to be derived, where it is no graph of embedding these images.
    """

    passes: int
    images: int
    working_bytes: int | None = None


class Objective:
    """One of the three seams of distilling. A method overrides ``losses``, and of the rest what it needs.

    All its randomness comes from the seed and the step, and from nothing that was drawn before.

    Attributes:
        Options: its own frozen dataclass; fields are made by ``declared.option``, and the paper's values are the
            defaults.
        update: ``"step"``: the images move once, by the sum of a step's losses; ``"loss"``: after each of them.
        apart: each loss is of one class of ``problem.own_classes`` and asks for no image of another, so that the
            processes of a run may hold the images of their own classes alone. It keeps no state and makes no labels.
    """

    @dataclass(frozen=True)
    class NoOptions:
        """For a method that has none."""

    Options: ClassVar[type] = NoOptions
    apart: ClassVar[bool] = False
    update: str = "step"

    def __init__(self, problem: Problem, options: Any) -> None:
        self.problem = problem
        self.options = options

    @classmethod
    def settled(cls, options: Any, setting: Setting) -> Any:
        """``options`` with what was left open filled in for ``setting``.

        Raises:
            InputError: options that do not fit it or each other.
        """
        return options

    @classmethod
    def default_iterations(cls, options: Any) -> int:
        """Steps of a run where none are asked for."""
        raise InputError("give iterations: this method has no default")

    @classmethod
    def reads(cls, options: Any) -> tuple[Path, ...]:
        """Files that settled ``options`` name: nothing is written onto them."""
        return ()

    def shares(self) -> tuple[int, str] | None:
        """What the processes of a run can share in a step: how many, and of what, such as ``(10, "class")``.

        A method that says so asks ``problem.parts`` or ``problem.own`` which of them are its own, and draws what it
        needs by their numbers. None for a method that knows one process alone.
        """
        return None

    def losses(self, step: int) -> Iterator[Loss]:
        """The losses of a step; each is backpropagated, and its graph freed, before the next is asked for."""
        raise NotImplementedError

    def after(self, step: int) -> None:
        """Called when the images have moved for the last time in ``step``."""

    def learned(self) -> dict[str, Learned]:
        """What is learned beside the images, by name; always the same names and tensors."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """What the next step depends on beside the seed, the step, the images and what is learned.

        Always the same names, shapes and dtypes: a checkpoint is held to those of a fresh objective.
        """
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Puts a checkpoint's :meth:`state` in place; ``state`` has its names, shapes and dtypes."""

    def footprint(self) -> Footprint | None:
        """What a step takes, for the plan before the first one; None where that is not known, or said elsewhere."""
        return None

    def facts(self) -> dict[str, Any]:
        """What training on the set needs, as JSON values: for example the learned rate."""
        return {}

    def labels(self) -> Tensor | None:
        """Soft labels that the set is written with, float ``[M, classes]`` that sum to 1; None for the classes'."""
        return None
