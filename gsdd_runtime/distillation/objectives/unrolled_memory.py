"""What a step of trajectory matching will take, found out before the first one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from gsdd_runtime.distillation.objectives.trajectory_distance import StepLoss
from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import available_memory, check_memory
from gsdd_runtime.wording import bytes_in_words, counted

_FLOAT32_BYTES = 4
# Times what a graph keeps: gradients on their way, and what convolutions work with. On a CPU 2.1 was measured for a
# ConvNet of 128 filters, 3.3 for one of 32.
_WORKING_FACTOR = 2.5
# Graphs of unrolled steps that stay until they are derived, where nothing else is asked for.
GRAPHS_BYTES = 2 * 2**30


@dataclass(frozen=True)
class StepMemory:
    """What a step of matching takes, in bytes, estimated.

    Attributes:
        graph: kept of an unrolled step.
        vectors: of weights, of all steps.
    """

    graph: int
    vectors: int

    @classmethod
    def of(
        cls, step_loss: StepLoss, length: int, batch: tuple[int, ...], classes: int, steps: int, device: torch.device
    ) -> StepMemory:
        """From what the graph of one image and that of two keep.

        Args:
            step_loss: of an unrolled step.
            length: parameters of the network.
            batch: shape of the images of an unrolled step, ``(B, C, H, W)``.
            classes: of the labels.
            steps: that are unrolled.
            device: that they run on.
        """
        one, two = (_kept_bytes(step_loss, length, (count, *batch[1:]), classes, device) for count in (1, 2))
        # The weights of each step; besides, the expert's, and a few vectors as long.
        return cls(one + (two - one) * (batch[0] - 1), (steps + 8) * length * _FLOAT32_BYTES)

    def needed(self, kept: int = 0) -> int:
        """All in all, with the graphs of ``kept`` steps besides the one that is worked on."""
        return int(self.graph * (_WORKING_FACTOR + kept)) + self.vectors

    def check(self, images: int, kept: int, device: torch.device) -> None:
        """Refuses what there is no memory for.

        Raises:
            InputError: it is more than there is; it names the option that lowers it.
        """
        needed, what = self.needed(kept), f"a step of trajectory matching on {counted(images, 'image')} at once"
        remedy = "lower --batch-syn" + (" or --kept-graphs" if kept else "")
        if device.type == "cpu":
            check_memory(needed, what, remedy)
        elif needed > (total := torch.cuda.get_device_properties(device).total_memory):
            raise InputError(
                f"{what} would take {bytes_in_words(needed)}, {device} has {bytes_in_words(total)}: {remedy}"
            )

    def room(self, steps: int, device: torch.device) -> int:
        """Of how many of ``steps`` the graphs fit: in ``GRAPHS_BYTES``, and a quarter of the memory that is free."""
        free = available_memory() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
        room = min(GRAPHS_BYTES, (free - self.needed()) // 4)
        return max(0, min(steps, room // max(1, self.graph)))


def _kept_bytes(step_loss: StepLoss, length: int, batch: tuple[int, ...], classes: int, device: torch.device) -> int:
    """Bytes that the graph of a step keeps at most while it is derived twice."""
    generator = torch.Generator().manual_seed(0)
    weights = (0.05 * torch.randn(length, generator=generator)).to(device).requires_grad_()
    images = torch.randn(batch, generator=generator).to(device).requires_grad_()
    labels = (torch.arange(batch[0]) % classes).to(device)
    count = _Count()
    with torch.autograd.graph.saved_tensors_hooks(count.keep, lambda kept: kept.tensor):
        (gradient,) = torch.autograd.grad(step_loss(0, weights, images, labels), weights, create_graph=True)
        torch.autograd.grad(gradient.sum(), [weights, images])
    return count.peak


class _Count:
    """Bytes of the storages that are kept, each counted once."""

    def __init__(self) -> None:
        self.now = self.peak = 0
        self.users: Counter[int] = Counter()

    def keep(self, tensor: Tensor) -> _Kept:
        return _Kept(tensor, self)


class _Kept:
    def __init__(self, tensor: Tensor, count: _Count) -> None:
        # Detached: with its graph it would keep itself.
        self.tensor = tensor.detach()
        self._count = count
        self._place = tensor.untyped_storage().data_ptr()
        count.users[self._place] += 1
        if count.users[self._place] == 1:
            count.now += tensor.untyped_storage().nbytes()
            count.peak = max(count.peak, count.now)

    def __del__(self) -> None:
        count = self._count
        count.users[self._place] -= 1
        if count.users[self._place] == 0:
            count.now -= self.tensor.untyped_storage().nbytes()
