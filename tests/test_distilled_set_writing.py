"""Writing fails whole: one line, no part of a file left, and what stood there before stands still."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from set_files import saved, some_set

from gsdd_runtime.errors import InputError
from gsdd_runtime.reports.pictures import write_decoded


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file of this process may grow beyond ``limit`` bytes: writing fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 100, 20_000])
def test_a_set_on_a_full_disk(tmp_path: Path, limit: int) -> None:
    distilled_set = some_set(images=600)
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"cannot write {path}") as caught, full_disk(limit):
        distilled_set.save(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["out.npy", "out.png", "out"])
def test_decoded_images_on_a_full_disk(tmp_path: Path, name: str) -> None:
    distilled_set = some_set(images=600)
    out = tmp_path / name
    with pytest.raises(InputError, match=f"cannot write {out}") as caught, full_disk(100):
        write_decoded(distilled_set, out, range(100), (64, 64))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        some_set().save(tmp_path / "none" / "set.safetensors")


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        some_set().save(tmp_path)


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe stands for a device here: a renamed file in the place of /dev/null would harm the whole machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="not an ordinary file"):
        some_set().save(pipe)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
