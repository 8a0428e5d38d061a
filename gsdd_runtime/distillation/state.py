"""The state of a run as named tensors: masters, optimisers, what is learned, what the objective keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.objectives import Objective
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.streamed import Streamed, in_order

NOT_OURS = "the checkpoint does not hold the state of this run: remove it to start anew"


@dataclass
class RunState:
    """Everything that a step changes.

    Attributes:
        representation: the images.
        optimizer: of its masters.
        objective: with what it learns and keeps; None in fitting.
        learned_optimizers: of what the objective learns, by its name.
        division: of the images over the processes of the run; None where each holds all.
    """

    representation: Representation
    optimizer: torch.optim.Optimizer
    objective: Objective | None
    learned_optimizers: dict[str, torch.optim.Optimizer]
    division: Division | None = None

    def tensors(self) -> dict[str, Tensor | Streamed]:
        """All of it by name, not copied; what is divided comes in pieces, to the first process."""
        tensors: dict[str, Tensor | Streamed] = {}
        tensors |= {f"buffer/{name}": value for name, value in self.representation.buffers().items()}
        for name, value, optimizer in self.moved():
            tensors[name] = self._whole(name, value.detach())
            for key, kept in optimizer.state[value].items():
                if isinstance(kept, Tensor):
                    whole = self._whole(name, kept) if kept.shape == value.shape else kept
                    tensors[f"optimizer/{name.partition('/')[2]}/{key}"] = whole
        if self.objective is not None:
            tensors |= {f"objective/{name}": value.detach() for name, value in self.objective.state().items()}
        return tensors

    def give(self) -> None:
        """Gives the first process this one's pieces of :meth:`tensors`, in the order that it writes them in."""
        for _, tensor in in_order(self.tensors()):
            if isinstance(tensor, Streamed):
                for _ in tensor.pieces():
                    pass

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts ``tensors`` in place.

        Args:
            tensors: as :meth:`tensors` names them; of what is divided this process's.

        Raises:
            InputError: they are not those of this run.
        """
        # Optimisers keep nothing before their first move, which steps may leave out.
        expected = self._expected(any(name.startswith("optimizer/") for name in tensors))
        if tensors.keys() != expected.keys() or not all(
            tensors[name].shape == form.shape and tensors[name].dtype == form.dtype and _finite(tensors[name])
            for name, form in expected.items()
        ):
            raise InputError(NOT_OURS)
        with torch.no_grad():
            for name, buffer in self.representation.buffers().items():
                buffer.copy_(tensors[f"buffer/{name}"])
            for name, value, optimizer in self.moved():
                value.copy_(tensors[name])
                prefix = f"optimizer/{name.partition('/')[2]}/"
                for key in expected:
                    if key.startswith(prefix):
                        kept = tensors[key]
                        own = key.removeprefix(prefix)
                        # Adam keeps its step count on the CPU.
                        optimizer.state[value][own] = kept.clone() if own == "step" else kept.to(value.device)
        if self.objective is not None:
            prefix = "objective/"
            self.objective.restore(
                {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            )

    def fill_gradients(self) -> None:
        """Gradients of 0 where there are none: an optimiser moves on by its momentum."""
        for _, value, _ in self.moved():
            if value.grad is None:
                value.grad = torch.zeros_like(value)

    def tensors_of_images(self) -> list[Tensor]:
        """Masters and what their optimiser keeps of each number, the image first in every shape."""
        kept: list[Tensor] = []
        for value in self.representation.parameters().values():
            kept.append(value)
            kept += [each for each in self.optimizer.state[value].values() if each.shape == value.shape]
        return kept

    def moved(self) -> Iterator[tuple[str, Tensor, torch.optim.Optimizer]]:
        """What an optimiser moves, as its file name, itself, and which optimiser."""
        for name, part in self.representation.parameters().items():
            yield f"parameter/{name}", part, self.optimizer
        if self.objective is not None:
            for name, learned in self.objective.learned().items():
                yield f"learned/{name}", learned.value, self.learned_optimizers[name]

    def _whole(self, name: str, value: Tensor) -> Tensor | Streamed:
        """``value``, which belongs to what is moved under ``name``, as the run has it."""
        division = self.division
        if division is None or not name.startswith("parameter/"):
            return value
        return Streamed((division.images, *value.shape[1:]), lambda: division.gathered(lambda rows: value[rows]))

    def _expected(self, moved: bool) -> dict[str, Tensor]:
        """Names, shapes and dtypes of the state, as tensors without storage of their own."""
        expected = {f"buffer/{name}": value for name, value in self.representation.buffers().items()}
        for name, value, optimizer in self.moved():
            expected[name] = value
            if moved:
                for key, form in _optimizer_forms(optimizer, value).items():
                    expected[f"optimizer/{name.partition('/')[2]}/{key}"] = form
        if self.objective is not None:
            expected |= {f"objective/{name}": value for name, value in self.objective.state().items()}
        return expected


def _optimizer_forms(optimizer: torch.optim.Optimizer, value: Tensor) -> dict[str, Tensor]:
    """What an optimiser keeps of ``value`` once it has moved it, found by a step on a tensor of one number."""
    group = next(group for group in optimizer.param_groups if any(value is one for one in group["params"]))
    probe = torch.zeros([1] * value.dim(), dtype=value.dtype, requires_grad=True)
    probe.grad = torch.zeros_like(probe)
    settings: dict[str, Any] = {key: kept for key, kept in group.items() if key != "params"}
    make: Any = type(optimizer)
    trial = make([{**settings, "params": [probe]}], lr=group["lr"])
    trial.step()
    meta = torch.device("meta")
    return {
        key: torch.empty(value.shape if kept.dim() == value.dim() else kept.shape, dtype=kept.dtype, device=meta)
        for key, kept in trial.state[probe].items()
        if isinstance(kept, Tensor)
    }


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())
