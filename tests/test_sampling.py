"""The order of an epoch: whole, shared out by the rule, and a function of (seed, epoch) alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gsdd_runtime.errors import InputError
from gsdd_runtime.loading.sampling import batches_per_epoch, epoch_order
from gsdd_runtime.seeds import derived_seed


def orders(length: int, world_size: int, **options: object) -> list[list[int]]:
    defaults: dict = {"batch_size": 4, "epoch": 0, "seed": 0, "shuffle": True}
    return [
        epoch_order(length, rank=rank, world_size=world_size, **{**defaults, **options}).tolist()
        for rank in range(world_size)
    ]


def test_one_rank_sees_every_image_once() -> None:
    (order,) = orders(23, 1)
    assert sorted(order) == list(range(23))
    assert order != sorted(order)
    assert orders(23, 1, shuffle=False) == [list(range(23))]


def test_seed_and_epoch_alone_fix_the_order() -> None:
    torch.manual_seed(1)
    first = orders(50, 2, seed=3, epoch=7)
    torch.manual_seed(2)
    assert orders(50, 2, seed=3, epoch=7) == first
    assert orders(50, 2, seed=3, epoch=8) != first
    assert orders(50, 2, seed=4, epoch=7) != first


def test_the_order_is_the_same_on_every_machine() -> None:
    assert derived_seed(0, "order", 0) == 3471081512423777433
    assert orders(8, 1) == [[2, 4, 1, 6, 5, 0, 7, 3]]


def test_an_epoch_is_filled_up_from_its_own_start() -> None:
    assert orders(10, 4, shuffle=False) == [[0, 4, 8], [1, 5, 9], [2, 6, 0], [3, 7, 1]]


@given(
    length=st.integers(1, 60),
    world_size=st.integers(1, 9),
    batch_size=st.integers(1, 8),
    shuffle=st.booleans(),
)
def test_ranks_share_an_epoch(length: int, world_size: int, batch_size: int, shuffle: bool) -> None:
    parts = orders(length, world_size, batch_size=batch_size, shuffle=shuffle)
    assert len({len(part) for part in parts}) == 1
    seen = [index for part in parts for index in part]
    assert set(seen) == set(range(length))
    assert len(seen) - length == -length % world_size
    assert batches_per_epoch(length, batch_size=batch_size, drop_last=False, world_size=world_size) == len(
        range(0, len(parts[0]), batch_size)
    )


@given(length=st.integers(1, 60), world_size=st.integers(1, 5), batch_size=st.integers(1, 8))
def test_whole_batches_only(length: int, world_size: int, batch_size: int) -> None:
    if length < world_size * batch_size:
        with pytest.raises(InputError, match="drop_last"):
            orders(length, world_size, batch_size=batch_size, drop_last=True)
        return
    parts = orders(length, world_size, batch_size=batch_size, drop_last=True)
    count = batches_per_epoch(length, batch_size=batch_size, drop_last=True, world_size=world_size)
    assert all(len(part) == count * batch_size for part in parts)
    seen = [index for part in parts for index in part]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"rank": 2, "world_size": 2}, "rank 2"), ({"rank": -1}, "rank -1"), ({"batch_size": 0}, "batch_size")],
)
def test_wrong_sharing(options: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        epoch_order(10, **{"batch_size": 4, "epoch": 0, "seed": 0, "shuffle": True, **options})
    with pytest.raises(InputError, match="no image"):
        epoch_order(0, batch_size=1, epoch=0, seed=0, shuffle=True)
