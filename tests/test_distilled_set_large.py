"""A file of many images: opened by its header alone, checked row by row, bounded in memory, safe when cut short."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from set_files import saved, some_set, split_file

from gsdd_runtime.errors import InputError
from gsdd_runtime.loading.loader import DistilledLoader
from gsdd_runtime.sets import container
from gsdd_runtime.sets.distilled_set import DistilledSet

IMAGES, COUNT, PARAMETERS = 200_000, 22, 9


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200,000 images of 22 Gaussians, 81 MB, nearly all of it a hole in the file: zeros, which are valid."""
    folder = tmp_path_factory.mktemp("large")
    header, _ = split_file(saved(folder, some_set(channels=3)))
    payload = IMAGES * 8 + IMAGES * COUNT * PARAMETERS * 2
    header["labels"] = {"dtype": "I64", "shape": [IMAGES], "data_offsets": [0, IMAGES * 8]}
    header["gaussians"] = {
        "dtype": "BF16",
        "shape": [IMAGES, COUNT, PARAMETERS],
        "data_offsets": [IMAGES * 8, payload],
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = folder / "large.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + payload)
    return path


def row_offset(path: Path, image: int) -> int:
    """The place in the file of the first number of an image."""
    return path.stat().st_size - (IMAGES - image) * COUNT * PARAMETERS * 2


def spoil(path: Path, offset: int, data: bytes) -> bytes:
    """Writes ``data`` at ``offset`` and returns what was there."""
    with open(path, "r+b") as file:
        file.seek(offset)
        before = file.read(len(data))
        file.seek(offset)
        file.write(data)
    return before


def test_opening_and_decoding_touches_only_what_is_asked_for(large: Path) -> None:
    """Resident memory grows by far less than the 81 MB of the file, measured in a process of its own."""
    script = f"""
import os, torch
from gsdd_runtime.sets.distilled_set import DistilledSet
import gsdd_runtime.splatting.op
torch.set_num_threads(1)
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
DistilledSet.load({str(large)!r}).decode([0])
before = resident()
distilled_set = DistilledSet.load({str(large)!r})
opened = resident()
generator = torch.Generator().manual_seed(0)
for _ in range(10):
    distilled_set.decode(torch.randint(len(distilled_set), (20,), generator=generator))
print(opened - before, resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    opening, decoding = map(int, done.stdout.split())
    # Seen: 0.1 MB and 13 MB. Linux maps 64 KiB around each page that is touched: 200 rows, at most 13 MB.
    assert opening < 4_000_000
    assert decoding < 25_000_000


def test_epochs_of_batches_grow_no_memory_no_threads_and_no_descriptors(large: Path) -> None:
    """Of its own, beside the file's pages; in a process of its own, of two ranks."""
    script = f"""
import os, torch
from pathlib import Path
from gsdd_runtime import DistilledLoader
torch.set_num_threads(1)
def held():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]), int(status["Threads"]), len(os.listdir("/proc/self/fd"))
loader = DistilledLoader({str(large)!r}, 8, device="cpu", augment="dsa", rank=1, world_size=2)
seen = []
for epoch in range(10):
    for _ in zip(range(200), loader):
        pass
    seen.append(held())
print(*seen[1], *seen[-1])
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    memory, threads, descriptors, *after = map(int, done.stdout.split())
    # Seen: 0.1 MB. What 1600 batches made is 50 MB.
    assert after[0] - memory < 4_000
    assert after[1:] == [threads, descriptors]


def test_its_facts_are_there_at_once(large: Path) -> None:
    distilled_set = DistilledSet.load(large)
    assert len(distilled_set) == IMAGES
    assert distilled_set.nbytes == IMAGES * (8 + COUNT * PARAMETERS * 2)
    assert distilled_set.decode([0, IMAGES - 1]).shape == (2, 3, 12, 10)
    assert int(distilled_set.labels.sum()) == 0


def test_a_bad_number_is_found_when_its_row_is_used(large: Path) -> None:
    before = spoil(large, row_offset(large, 150_000) + 40, b"\xc0\x7f")
    try:
        distilled_set = DistilledSet.load(large)
        distilled_set.decode([149_999, 150_001])
        for indices in (150_000, [3, 150_000], slice(149_990, 150_010)):
            with pytest.raises(InputError, match=r"gaussians\[150000\] holds a NaN or an infinity"):
                distilled_set.decode(indices)
        with pytest.raises(InputError, match=r"gaussians\[150000\] holds"):
            distilled_set.verify()
        with pytest.raises(InputError, match=r"gaussians\[150000\] holds a NaN or an infinity"):
            distilled_set.save(large.parent / "copy.safetensors")
        assert not (large.parent / "copy.safetensors").exists()
    finally:
        spoil(large, row_offset(large, 150_000) + 40, before)


def test_a_bad_label_is_found_when_labels_are_used(large: Path) -> None:
    start = row_offset(large, 0) - IMAGES * 8
    before = spoil(large, start + 8 * 777, struct.pack("<q", 3))
    try:
        distilled_set = DistilledSet.load(large)
        with pytest.raises(InputError, match="label 3 is out of range"):
            distilled_set.labels  # noqa: B018 - reading it is the test
        with pytest.raises(InputError, match="label 3 is out of range"):
            distilled_set.hard_labels  # noqa: B018
    finally:
        spoil(large, start + 8 * 777, before)


def test_a_file_replaced_while_open_changes_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path)
    distilled_set = DistilledSet.load(path)
    before = distilled_set.decode()
    saved(tmp_path, some_set(images=3))
    assert torch.equal(distilled_set.decode(), before)
    assert len(DistilledSet.load(path)) == 3


def test_small_files_are_checked_when_opened_and_large_ones_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)
    spoil(path, path.stat().st_size - 2, b"\xc0\x7f")
    with pytest.raises(InputError, match=r"gaussians\[5\] holds"):
        DistilledSet.load(path)
    monkeypatch.setattr(container, "IN_MEMORY_BYTES", os.path.getsize(path) - 1)
    assert DistilledSet.load(path).decode([0, 4]).shape[0] == 2


def test_the_loader_feeds_from_a_large_file(large: Path) -> None:
    loader = DistilledLoader(large, 256, device="cpu", normalize=False)
    images, labels = next(iter(loader))
    assert images.shape == (256, 3, loader.decoder.height, loader.decoder.width)
    assert labels.shape == (256,)
    assert DistilledSet.load(large).decode([]).shape[:2] == (0, 3)
