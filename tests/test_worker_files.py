"""A set that travels to another process by its path: that process sees the same set, or says that it cannot."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from set_files import saved, some_set
from torch.utils.data import DataLoader

import gsdd_runtime as gsdd
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets import container


def other_set() -> gsdd.DistilledSet:
    """Of the same description as ``some_set()``, with other images and other labels."""
    distilled = some_set()
    return gsdd.DistilledSet(
        (distilled.gaussians.float() / 2).bfloat16(), distilled.labels.flip(0), 12, 10,
        **{name: getattr(distilled, name) for name in (
            "class_names", "mean", "std", "ipc", "gpc", "method", "options", "seed", "fingerprint", "versions",
        )},
    )  # fmt: skip


def replaced(path: Path) -> None:
    """Another set takes the name of the file, a good while after it was opened."""
    before = path.stat().st_mtime_ns
    other_set().save(path)
    os.utime(path, ns=(before + 10**9, before + 10**9))


@pytest.fixture(params=[0, 1 << 24], ids=["mapped", "in memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", request.param)
    return saved(tmp_path)


def test_another_process_refuses_a_file_that_took_the_name(path: Path) -> None:
    dataset = gsdd.DistilledDataset(path)
    message = pickle.dumps(dataset)
    before = dataset[3]
    replaced(path)
    assert torch.equal(dataset[3][0], before[0])
    for travelled in (pickle.loads(message), pickle.loads(pickle.dumps(dataset))):
        with pytest.raises(InputError, match="was replaced or written to after the set was opened from it") as caught:
            travelled[3]
        assert str(path) in str(caught.value)


def test_another_process_refuses_a_file_that_was_written_to(path: Path) -> None:
    message = pickle.dumps(gsdd.DistilledDataset(path))
    os.utime(path, ns=(0, 0))
    with pytest.raises(InputError, match="was replaced or written to"):
        pickle.loads(message)[0]


def test_a_file_that_was_only_touched_travels_once_it_is_verified(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container, "IN_MEMORY_BYTES", 0)
        distilled = gsdd.DistilledSet.load(path)
        dataset = gsdd.DistilledDataset(distilled)
        os.utime(path, ns=(0, 0))
        distilled.verify()
        assert torch.equal(pickle.loads(pickle.dumps(dataset))[1][0], dataset[1][0])


def test_another_process_finds_the_file_from_another_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    dataset = gsdd.DistilledDataset(path.name)
    monkeypatch.chdir("/")
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[3][0], dataset[3][0])


def test_a_set_in_memory_travels_as_it_is(path: Path) -> None:
    distilled = gsdd.DistilledSet.load(path)
    copy = pickle.loads(pickle.dumps(distilled))
    path.unlink()
    assert torch.equal(copy.decode(), distilled.decode())
    dataset = gsdd.DistilledDataset(some_set())
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[3][0], dataset[3][0])


def test_a_spawned_worker_says_so_where_the_batches_are_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path)
    dataset = gsdd.DistilledDataset(path)
    replaced(path)
    loader = DataLoader(dataset, batch_size=6, num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(InputError, match="was replaced or written to after the set was opened from it"):
        next(iter(loader))
