"""Which image comes when: the order of an epoch, from (seed, epoch) alone, shared out over ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.wording import counted


def epoch_order(
    length: int,
    *,
    batch_size: int,
    epoch: int,
    seed: int,
    shuffle: bool,
    drop_last: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> Tensor:
    """The indices that one rank sees in one epoch, int64, in order.

    All ranks get the same number. With ``drop_last`` the epoch is cut to whole batches on every rank; without it, it is
    filled up from its own start until it divides by ``world_size`` (at most ``world_size - 1`` images are seen twice),
    and the last batch may be smaller. Rank ``r`` takes every ``world_size``-th index from the ``r``-th on.

    Raises:
        InputError: a rank out of range, a count below 1, or an epoch without a single batch.
    """
    check_sharing(length, batch_size=batch_size, drop_last=drop_last, rank=rank, world_size=world_size)
    if shuffle:
        order = torch.randperm(length, generator=derived_generator(seed, "order", epoch))
    else:
        order = torch.arange(length)
    if drop_last:
        whole = world_size * batch_size
        order = order[: length // whole * whole]
    else:
        missing = -length % world_size
        order = torch.cat([order] + [order] * (missing // length) + [order[: missing % length]])
    return order[rank::world_size]


def batches_per_epoch(length: int, *, batch_size: int, drop_last: bool, world_size: int) -> int:
    """How many batches :func:`epoch_order` makes for every rank."""
    if drop_last:
        return length // (world_size * batch_size)
    per_rank = -(-length // world_size)
    return -(-per_rank // batch_size)


def check_sharing(length: int, *, batch_size: int, drop_last: bool, rank: int, world_size: int) -> None:
    """Raises InputError where :func:`epoch_order` would."""
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if world_size < 1 or not 0 <= rank < world_size:
        raise InputError(f"rank must be 0 to world_size - 1, got rank {rank} of world_size {world_size}")
    if length < 1:
        raise InputError("the set holds no image")
    if drop_last and length < world_size * batch_size:
        raise InputError(
            f"there is no whole batch of {batch_size} for each of {counted(world_size, 'rank')} in "
            f"{counted(length, 'image')}: lower batch_size, or leave drop_last off"
        )
