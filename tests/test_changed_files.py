"""A set's file that goes, shrinks or changes while the set is in use: nothing, or an error, never a crash."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from set_files import edited, saved, some_gaussians, some_set

from gsdd_runtime.errors import InputError
from gsdd_runtime.loading.loader import DistilledLoader
from gsdd_runtime.loading.map_dataset import DistilledDataset
from gsdd_runtime.sets import container
from gsdd_runtime.sets.description import description
from gsdd_runtime.sets.distilled_set import DistilledSet


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size are mapped, as those above 16 MiB are."""
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", 0)


def whitened_set() -> DistilledSet:
    zca = torch.zeros(121, 120)
    return DistilledSet(some_gaussians(3000), torch.arange(3000) % 3, 12, 10, mean=[0.5], std=[0.5], zca=zca)


def overwritten(path: Path, offset: int, data: bytes) -> None:
    """Writes into the file, a good while after it was opened."""
    before = path.stat().st_mtime_ns
    with open(path, "r+b") as file:
        file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        file.write(data)
    os.utime(path, ns=(before + 10**9, before + 10**9))


USES: dict[str, Callable[[DistilledSet], object]] = {
    "gaussians": lambda distilled: distilled.gaussians,
    "pixels": lambda distilled: distilled.pixels,
    "zca": lambda distilled: distilled.zca,
    "labels": lambda distilled: distilled.labels,
    "hard_labels": lambda distilled: distilled.hard_labels,
    "rows": lambda distilled: distilled.rows([2]),
    "range": lambda distilled: distilled.rows(slice(0, 2)),
    "decode": lambda distilled: distilled.decode([2]),
    "verify": lambda distilled: distilled.verify(),
    "save": lambda distilled: distilled.save(f"{distilled.path}.copy"),
    "to": lambda distilled: distilled.to("meta"),
    "pickle": lambda distilled: pickle.dumps(distilled),
    "copy": lambda distilled: copy.copy(distilled).gaussians,
    "deepcopy": lambda distilled: copy.deepcopy(distilled),
    "description": lambda distilled: description(distilled),
    "state": lambda distilled: DistilledLoader(distilled, 2, device="cpu", normalize=False).state_dict(),
    "dataset": lambda distilled: DistilledDataset(distilled, normalize=False)[0],
}
FREE = (len, repr, lambda distilled: (distilled.nbytes, distilled.device, distilled.representation))


def test_every_use_of_a_mapped_file_that_was_cut_short_is_an_error(tmp_path: Path) -> None:
    """Reading a page that is gone ends the process, so this runs in one of its own."""
    path = saved(tmp_path, whitened_set())
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_changed_files import FREE, USES, DistilledSet, DistilledLoader, InputError, container
container.IN_MEMORY_BYTES = 0
distilled = DistilledSet.load({str(path)!r})
loader = DistilledLoader(distilled, 2, device="cpu", normalize=False)
os.truncate({str(path)!r}, 4096)
for name, use in [*USES.items(), ("state of a loader", lambda distilled: loader.state_dict())]:
    try:
        use(distilled)
    except InputError as error:
        assert "was cut short while in use" in str(error), error
    else:
        sys.exit(name)
for use in FREE:
    use(distilled)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), (done.returncode, done.stderr[-500:])


@pytest.mark.parametrize("use", USES)
@pytest.mark.usefixtures("mapped")
def test_every_use_of_a_mapped_file_that_was_changed_in_place_is_an_error(tmp_path: Path, use: str) -> None:
    path = saved(tmp_path)
    distilled = DistilledSet.load(path)
    distilled.verify()
    overwritten(path, -2, b"\xc0\x7f")
    with pytest.raises(InputError, match=r"was changed while in use|holds a NaN"):
        USES[use](distilled)


@pytest.mark.usefixtures("mapped")
def test_verify_looks_again_where_a_mapped_file_was_changed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    distilled = DistilledSet.load(path)
    distilled.verify()
    labels = path.read_bytes().index(struct.pack("<6q", 0, 1, 2, 0, 1, 2))
    overwritten(path, -2, b"\xc0\x7f")
    for _ in range(2):
        with pytest.raises(InputError, match=r"gaussians\[5\] holds a NaN"):
            distilled.verify()
    overwritten(path, -2, b"\0\0")
    overwritten(path, labels, struct.pack("<q", 99))
    with pytest.raises(InputError, match="label 99 is out of range"):
        distilled.verify()
    with pytest.raises(InputError, match="label 99 is out of range"):
        distilled.labels  # noqa: B018 - reading it is the test
    overwritten(path, labels, struct.pack("<q", 2))
    distilled.verify()
    assert distilled.labels.tolist() == [2, 1, 2, 0, 1, 2]
    overwritten(path, labels, struct.pack("<q", 99))
    with pytest.raises(InputError, match="was changed while in use"):
        distilled.decode()


@pytest.mark.usefixtures("mapped")
def test_a_copy_of_a_set_has_an_eye_on_the_file_too(tmp_path: Path) -> None:
    path = saved(tmp_path)
    distilled = DistilledSet.load(path)
    shallow, deep = copy.copy(distilled), copy.deepcopy(distilled)
    overwritten(path, -2, b"\xc0\x7f")
    with pytest.raises(InputError, match="was changed while in use"):
        shallow.decode()
    assert torch.equal(deep.decode(), some_set().decode())


@pytest.mark.usefixtures("mapped")
def test_verify_refuses_a_mapped_file_that_is_another_set_by_now(tmp_path: Path) -> None:
    path = saved(tmp_path)
    distilled = DistilledSet.load(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\\"seed\\":7', b'\\"seed\\":8'))
    os.utime(path, ns=(0, 0))
    with pytest.raises(InputError, match="was rewritten while in use"):
        distilled.verify()
    path.write_bytes(content + b"more")
    for use in (distilled.verify, distilled.decode):
        with pytest.raises(InputError, match=r"was rewritten while in use|was changed while in use"):
            use()


def test_a_small_file_is_copied_and_may_go(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    expected = some_set().decode()
    for change in (lambda: os.truncate(path, 100), lambda: overwritten(path, 8, b"\xff" * 500), path.unlink):
        distilled = DistilledSet.load(saved(tmp_path))
        change()
        assert torch.equal(distilled.decode(), expected)
        assert distilled.hard_labels.tolist() == [0, 1, 2, 0, 1, 2]
        for use in USES.values():
            use(distilled)


@pytest.mark.parametrize("size", [0, 1 << 24])
def test_no_file_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Neither of a copied file, nor of a mapped one once its set is gone; and nobody is warned of it."""
    path = saved(tmp_path)
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", size)

    def opened() -> int:
        return sum(os.path.realpath(f"/proc/self/fd/{name}") == str(path) for name in os.listdir("/proc/self/fd"))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distilled = DistilledSet.load(path)
        assert opened() == (0 if size else 1)
        DistilledSet.load(path)
        with pytest.raises(InputError):
            DistilledSet.load(edited(path, lambda fields: fields.update(height=0)))
        del distilled
        gc.collect()
    assert opened() == 0


def test_a_file_replaced_while_it_is_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header and tensors would be of two files."""
    path = saved(tmp_path)
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", 0)
    real = container.safetensors.safe_open

    def replaced_meanwhile(*arguments: object, **options: object) -> object:
        some_set(seed=8).save(path)
        return real(*arguments, **options)

    monkeypatch.setattr(container.safetensors, "safe_open", replaced_meanwhile)
    with pytest.raises(InputError, match="was replaced while it was opened"):
        DistilledSet.load(path)
