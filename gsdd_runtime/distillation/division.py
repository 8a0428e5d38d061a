"""Images of a run that are divided over its processes, by class: who holds which, and how one gets them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gsdd_runtime.errors import GsddError
from gsdd_runtime.ranks import Ranks

# What the first process holds of the others' at once.
PIECE_BYTES = 1 << 26


@dataclass(frozen=True)
class Division:
    """Which images each process holds: those of every so many-th class, as the work on them is shared.

    Attributes:
        classes, gpc: of the run, and images of each; image ``i`` is of class ``i // gpc``.
        ranks: the processes, no more than classes.
    """

    classes: int
    gpc: int
    ranks: Ranks

    @property
    def images(self) -> int:
        """All of them, whoever holds them."""
        return self.classes * self.gpc

    @property
    def own(self) -> range:
        """The classes whose images this process holds."""
        return self.ranks.own(self.classes)

    @property
    def held(self) -> Tensor:
        """The images that this process holds, int64, rising: row ``i`` of its tensors is image ``held[i]``."""
        return (torch.tensor(self.own).view(-1, 1) * self.gpc + torch.arange(self.gpc)).flatten()

    def local(self, images: Tensor) -> Tensor:
        """The rows of ``images``, int64 on the CPU, in the tensors of this process.

        Raises:
            GsddError: another process holds one of them.
        """
        classes = images // self.gpc
        if bool((classes % self.ranks.count != self.ranks.rank).any()):
            raise GsddError("the loss of a class asks for images of one that another process holds")
        return classes // self.ranks.count * self.gpc + images % self.gpc

    def gathered(self, rows: Callable[[slice], Tensor]) -> Iterator[Tensor]:
        """The rows of all processes in the order of the images, a piece at a time, on the CPU: for the first process.

        All processes go through it to its end; for another there is no piece.

        Args:
            rows: gives some of this process's, ``[rows, ...]``.

        Raises:
            RankLostError: another process has ended.
        """
        form = rows(slice(0, 1))
        turn = form.numel() * form.element_size() * self.gpc * self.ranks.count
        turns = -(-self.classes // self.ranks.count)
        step = max(1, PIECE_BYTES // max(1, turn))
        for first in range(0, turns, step):
            last = min(first + step, turns)
            # Of the last classes some processes have none.
            counts = [len(range(first, min(last, self._count(rank)))) for rank in range(self.ranks.count)]
            start = first * self.gpc
            mine = rows(slice(start, start + counts[self.ranks.rank] * self.gpc)).cpu()
            parts = self.ranks.collected(mine, [count * self.gpc for count in counts])
            if not parts:
                continue
            whole = mine.new_empty((sum(counts), self.gpc, *mine.shape[1:]))
            for rank, part in enumerate(parts):
                whole[rank :: self.ranks.count] = part.view(counts[rank], self.gpc, *mine.shape[1:])
            yield whole.flatten(0, 1)
        # No process goes on, and may be killed, before the first has all of it.
        self.ranks.wait()

    def whole(self, rows: Callable[[slice], Tensor]) -> Tensor | None:
        """As :meth:`gathered`, in one tensor; None for another process than the first."""
        form, found, done = rows(slice(0, 1)), None, 0
        for piece in self.gathered(rows):
            if found is None:
                found = torch.empty((self.images, *form.shape[1:]), dtype=form.dtype)
            found[done : done + len(piece)] = piece
            done += len(piece)
        return found

    def picked(self, images: Tensor, give: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Something of a few of the images, in their order, on the CPU; None for another process than the first.

        Args:
            images: int64 on the CPU.
            give: gives it for rows of this process, ``[rows, ...]``.

        Raises:
            RankLostError: another process has ended.
        """
        holders = images // self.gpc % self.ranks.count
        own = images[holders == self.ranks.rank]
        mine = give(self.local(own)).cpu() if len(own) or self.ranks.first else torch.empty(0)
        parts = self.ranks.collected(mine, holders.bincount(minlength=self.ranks.count).tolist())
        if not parts:
            return None
        found = mine.new_empty((len(images), *mine.shape[1:]))
        for rank, part in enumerate(parts):
            found[holders == rank] = part
        return found

    def _count(self, rank: int) -> int:
        """Classes whose images a process holds."""
        return len(range(rank, self.classes, self.ranks.count))
