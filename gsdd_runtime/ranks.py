"""The processes that share a run, as torchrun starts them: which this one is, and what they tell each other.

What is sent is tensors and JSON, nothing that would be run. Without torchrun there is one process, :data:`ALONE`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gsdd_runtime.errors import GsddError, InputError

if TYPE_CHECKING:
    from torch import Tensor

# The first rank judges sets and writes files while the others wait for it; a rank that dies is noticed at once anyway.
_PATIENCE = timedelta(hours=24)
# The first rank's message is preferred to the same one of another: that waits so many seconds.
_MANNERS = 1.0


class RankLostError(GsddError):
    """Another process of the run ended in the middle of it."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: of this process, from 0.
        count: of all.
    """

    rank: int = 0
    count: int = 1
    _store: Any = field(default=None, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def own(self, count: int) -> range:
        """This rank's share of ``count`` things: every so many-th of them."""
        return range(self.rank, count, self.count)

    def add_up(self, tensors: Sequence[Tensor]) -> float:
        """Replaces each float32 tensor, all on one device, by its sum over the ranks, in one all-reduce.

        Returns:
            The seconds that it took.

        Raises:
            RankLostError: another rank has ended.
        """
        if self.count == 1 or not tensors:
            return 0.0
        import torch
        from torch import distributed

        began = time.perf_counter()
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _losing():
            distributed.all_reduce(flat)
        with torch.no_grad():
            for tensor, part in zip(tensors, flat.split([one.numel() for one in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))
        return time.perf_counter() - began

    def lead(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by that of the first rank."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        with _losing(), torch.no_grad():
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def collected(self, mine: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """On the first rank what every rank gives, in their order; on another nothing.

        Args:
            mine: on the CPU, ``[sizes[rank], ...]``, of one form but for that.
            sizes: of every rank's.

        Raises:
            RankLostError: another rank has ended.
        """
        import torch
        from torch import distributed

        with _losing():
            if not self.first:
                if len(mine):
                    distributed.send(mine.contiguous(), 0)
                return []
            found = [mine]
            for rank in range(1, self.count):
                part = torch.empty((sizes[rank], *mine.shape[1:]), dtype=mine.dtype)
                if len(part):
                    distributed.recv(part, rank)
                found.append(part)
        return found

    def told(self, value: Any) -> list[Any]:
        """What every rank gives, a JSON value each, in their order."""
        if self.count == 1:
            return [value]
        import torch
        from torch import distributed

        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        with _losing():
            lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
            distributed.all_gather(lengths, torch.tensor([len(text)]))
            most = max(int(length) for length in lengths)
            parts = [torch.empty(most, dtype=torch.uint8) for _ in range(self.count)]
            distributed.all_gather(parts, torch.nn.functional.pad(text, (0, most - len(text))))
        found = (part[: int(length)] for part, length in zip(parts, lengths, strict=True))
        return [json.loads(part.numpy().tobytes()) for part in found]

    def wait(self) -> None:
        """Until every rank has come here."""
        self.told(None)

    def check_same(self, value: Any, what: str) -> None:
        """Waits for every rank, and raises InputError unless all of them see the same ``what``, a JSON value."""
        seen = self.told(value)
        for rank, other in enumerate(seen):
            if other != seen[0]:
                raise InputError(
                    f"rank {rank} sees another {what} than rank 0 ({other}, not {seen[0]}): data and outputs must be "
                    "in folders that all machines share"
                )

    def may_tell(self, error: BaseException | None = None) -> bool:
        """Whether this rank is to print why it ends: the first that ends, and rank 0 rather than another."""
        if self.count == 1:
            return True
        if isinstance(error, (RankLostError, KeyboardInterrupt)):
            return self.first and isinstance(error, KeyboardInterrupt)
        if not self.first:
            time.sleep(_MANNERS)
        try:
            return bool(self._store.add("failed", 1) == 1)
        except RuntimeError:
            # Whoever keeps the store is gone.
            return self.first


ALONE = Ranks()
_joined = ALONE


def joined() -> Ranks:
    """The processes that this one has joined; :data:`ALONE` where it has not."""
    return _joined


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """While the block lasts this process works by itself, on what the others wait for."""
    global _joined
    before, _joined = _joined, ALONE
    try:
        yield
    finally:
        _joined = before


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def restarted() -> bool:
    """Whether torchrun started this run again (``--max-restarts``) after a process of it had ended."""
    return launched() and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextlib.contextmanager
def joining() -> Iterator[Ranks]:
    """Joins the processes that torchrun started, while the block lasts; gloo on CPUs, NCCL on CUDA devices."""
    global _joined
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    store, rank, count = next(rendezvous("env://", timeout=_PATIENCE))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_PATIENCE)
    _joined = Ranks(rank, count, store)
    try:
        yield _joined
    finally:
        _joined = ALONE
        with contextlib.suppress(RuntimeError):
            distributed.destroy_process_group()


@contextlib.contextmanager
def _losing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(f"another process of the run has ended ({str(error).splitlines()[0][:200]})") from error
