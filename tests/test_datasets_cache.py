"""Decoded pictures that are kept: the same data, in no time, safe under several processes, kills and full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gsdd_runtime import progress
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData, cache, image_folder, load_dataset
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where entries are kept, of any folder of at least six pictures."""
    monkeypatch.setenv("GSDD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(image_folder, "CACHED_FROM", 6)
    progress.say_once.cache_clear()
    yield tmp_path / "cache"
    progress.say_once.cache_clear()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of six pictures."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(6):
            pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{index}.png")
    return tmp_path / "data"


def load(root: Path, **options: object) -> RealData:
    return load_dataset(f"imagefolder:{root}", **options)  # type: ignore[arg-type]


def entries(place: Path) -> list[str]:
    return sorted(file.name for file in place.iterdir()) if place.is_dir() else []


def never(*_: object, **__: object) -> None:
    raise AssertionError("it was decoded again")


def same(one: RealData, other: RealData) -> bool:
    names = ("train_images", "train_labels", "test_images", "test_labels")
    facts = ("name", "class_names", "mean", "std", "fingerprint", "split")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names) and all(
        getattr(one, name) == getattr(other, name) for name in facts
    )


def test_the_second_time_nothing_is_decoded(root: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load(root, cache=False)
    assert entries(place) == []
    first = load(root)
    assert len(entries(place)) == 1
    for name in ("read_image", "read_header"):
        monkeypatch.setattr(image_folder, name, never)
    monkeypatch.setattr(RealData, "of", never)
    second = load(root)
    assert same(first, plain)
    assert same(second, plain)
    assert second.normalized(second.test_images).equal(plain.normalized(plain.test_images))
    # What is done to the images in place stays with whoever did it.
    second.train_images.zero_()
    assert same(load(root), plain)


@pytest.mark.parametrize("change", ["content", "time", "added", "renamed", "removed"])
def test_a_folder_that_was_changed_is_read_again(change: str, root: Path) -> None:
    before = load(root)
    file = root / "cat" / "2.png"
    if change == "content":
        Image.new("RGB", (8, 6), (1, 2, 3)).save(file)
    elif change == "time":
        content = bytearray(file.read_bytes())
        os.utime(file, ns=(1, 1))
        assert bytes(content) == file.read_bytes()
    elif change == "added":
        Image.new("RGB", (8, 6)).save(root / "cat" / "9.png")
    elif change == "renamed":
        file.rename(root / "cat" / "9.png")
    else:
        file.unlink()
    after = load(root)
    assert same(after, load(root, cache=False))
    assert same(after, before) == (change == "time")


def test_a_file_of_the_same_size_at_another_time_is_another(root: Path) -> None:
    """Two bytes of an uncompressed picture change, and nothing else of the file does."""
    for index in range(6):
        (root / "cat" / f"{index}.png").unlink()
        Image.new("RGB", (8, 6), (index, 1, 2)).save(root / "cat" / f"{index}.bmp")
    before = load(root)
    Image.new("RGB", (8, 6), (77, 1, 2)).save(root / "cat" / "2.bmp")
    after = load(root)
    assert not same(after, before)
    assert same(after, load(root, cache=False))


def test_each_way_of_reading_has_an_entry_of_its_own(root: Path, place: Path) -> None:
    ways: list[dict[str, object]] = [
        {}, {"size": (4, 4)}, {"size": (4, 4), "resize": "squash"}, {"channels": 1}, {"test_part": 0.5},
        {"classes": "dog,cat"}, {"classes": "dog"},
    ]  # fmt: skip
    for _ in range(2):
        for way in ways:
            assert same(load(root, **way), load(root, cache=False, **way))
    assert len(entries(place)) == len(ways)


def test_few_pictures_are_not_kept(root: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "CACHED_FROM", 13)
    load(root)
    assert entries(place) == []


@pytest.mark.parametrize("word", ["off", "0", "No"])
def test_it_can_be_switched_off(word: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSDD_CACHE", word)
    assert cache.cache_folder() is None
    assert cache.cache_size() == 0
    monkeypatch.setattr(cache.Cache, "find", never)
    load(root)


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GSDD_CACHE", "~/x")
    assert cache.cache_folder() == tmp_path / "x"
    monkeypatch.delenv("GSDD_CACHE")
    for base, expected in (("", tmp_path / ".cache"), ("relative", tmp_path / ".cache"), ("/var/c", Path("/var/c"))):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert cache.cache_folder() == expected / "gsdd-rt" / "images"


def test_the_limit_is_kept_by_dropping_what_was_not_used_for_longest(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 12 * 3 * 6 * 8
    monkeypatch.setenv("GSDD_CACHE_LIMIT", str((2 * size + 10) / 1e9))
    load(root)
    (first,) = entries(place)
    load(root, classes="dog,cat")
    (second,) = set(entries(place)) - {first}
    os.utime(place / second, (1, 1))
    kept = load(root, classes="dog,cat", test_part=0.5)
    assert first in entries(place)
    assert second not in entries(place)
    assert cache.cache_size() == 2 * size
    # One that is dropped while it is mapped serves its user still.
    os.utime(place / first, (2, 2))
    (third,) = set(entries(place)) - {first}
    os.utime(place / third, (1, 1))
    load(root, test_part=0.5)
    assert third not in entries(place)
    assert same(kept, load(root, classes="dog,cat", test_part=0.5, cache=False))


def test_what_is_too_large_is_read_without_and_said(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GSDD_CACHE_LIMIT", "0.000001")
    assert same(load(root), load(root, cache=False))
    assert entries(place) == []
    told = capsys.readouterr().err
    assert "decoded pictures are not kept: 1.7 kB are more than GSDD_CACHE_LIMIT, 1.0 kB" in told
    monkeypatch.setenv("GSDD_CACHE_LIMIT", "a lot")
    with pytest.raises(InputError, match="GSDD_CACHE_LIMIT must be a number of gigabytes, got 'a lot'"):
        load(root)


def test_a_full_or_forbidden_disk_is_read_without_and_said(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = load(root, cache=False)
    with monkeypatch.context() as patch:
        patch.setattr(cache.shutil, "disk_usage", lambda _: _Disk())
        assert same(load(root), plain)
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(cache.os, "posix_fallocate", full)
        assert same(load(root), plain)
    assert entries(place) == []
    monkeypatch.setenv("GSDD_CACHE", str(root / "cat" / "0.png"))
    assert same(load(root), plain)
    told = capsys.readouterr().err
    assert "the disk of" in told
    assert "No space left on device" in told
    assert told.count("decoded pictures are not kept") == 3


class _Disk:
    total, free = 1000, 10


def test_a_damaged_entry_is_made_again(root: Path, place: Path) -> None:
    expected = load(root, cache=False)
    load(root)
    (name,) = entries(place)
    for file, content in (("pixels", b"short"), ("facts.json", b"{"), ("facts.json", b"[]"), ("facts.json", b"{}")):
        (place / name / file).write_bytes(content)
        assert same(load(root), expected)
        assert entries(place) == [name]
    (place / name / "facts.json").unlink()
    assert same(load(root), expected)
    assert same(load(root), expected)


def test_a_picture_that_cannot_be_read_leaves_nothing(root: Path, place: Path) -> None:
    (root / "dog" / "3.png").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"3\.png is no image"):
        load(root, size=(6, 8), channels=3)
    assert entries(place) == []


def test_progress_is_told(root: Path) -> None:
    def phases() -> dict[str, tuple[int, int]]:
        told: dict[str, tuple[int, int]] = {}

        def report(one: Progress) -> None:
            told[one.phase] = (one.step, one.total)

        load(root, progress=report)
        return told

    every = {"read headers": (12, 12), "read images": (12, 12), "check images": (12, 12)}
    assert phases() == every
    assert phases() == {}


# Several processes

SLOWLY = """
import sys, time
from gsdd_runtime.datasets import image_folder, load_dataset
image_folder.CACHED_FROM = 6
image_folder._READERS = 1
honest = image_folder.read_image
def slow(*arguments):
    print("decoding", flush=True)
    time.sleep(0.1 if sys.argv[2] == "slow" else 60)
    return honest(*arguments)
image_folder.read_image = slow
print(load_dataset("imagefolder:" + sys.argv[1]).fingerprint, flush=True)
"""


def start(root: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SLOWLY, str(root), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_decode_once(root: Path, place: Path) -> None:
    jobs = [start(root, "slow") for _ in range(2)]
    outputs = [job.communicate() for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]
    lines = [out.splitlines() for out, _ in outputs]
    assert sum(line.count("decoding") for line in lines) == 12
    assert {line[-1] for line in lines} == {load(root, cache=False).fingerprint}
    assert len(entries(place)) == 1


def test_a_killed_process_leaves_nothing_that_is_used_or_that_stays(root: Path, place: Path) -> None:
    job = start(root, "for ever")
    assert job.stdout is not None
    assert job.stdout.readline() == "decoding\n"
    job.send_signal(signal.SIGKILL)
    job.communicate()
    left = entries(place)
    assert any(name.endswith(".partial") for name in left)
    started = time.monotonic()
    assert same(load(root), load(root, cache=False))
    assert time.monotonic() - started < 30
    assert [name for name in entries(place) if not name.endswith(".lock")] == [left[0].split(".")[0]]


# More than memory


def resident() -> int:
    """Bytes of this process that are in memory, its own and those it has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_data_larger_than_memory_opens_and_its_batches_are_gathered(place: Path) -> None:
    """A sparse entry of 63 GB, that of ImageNet-1K at 128 pixels, stands for one that was decoded."""
    shape, at = [1_281_167, 3, 128, 128], 777_777
    (place / "key").mkdir(parents=True)
    with open(place / "key" / "pixels", "wb") as file:
        file.truncate(shape[0] * 3 * 128 * 128)
        file.seek(at * 3 * 128 * 128)
        file.write(bytes([7]) * 10)
    (place / "key" / "facts.json").write_text(json.dumps({"shape": shape}))
    before = resident()
    kept = cache.Cache(place).find("key")
    assert kept is not None
    labels = torch.full((shape[0],), 2)
    labels[at - 299 : at + 1] = torch.arange(300) % 2
    nothing = kept.images[:0], labels[:0]
    data = RealData("large", kept.images, labels, *nothing, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3, "fingerprint")
    batch = RealImages(data, 0, torch.device("cpu")).batches(3, [0, 1], 150)
    assert batch.images.shape == (300, 3, 128, 128)
    assert float(batch.images.sum() * 255) == pytest.approx(70)
    # The labels are 10 MB and the batch is 59, and both are copied in between.
    assert resident() - before < 500_000_000


def test_the_command_says_where_pictures_are_kept(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    assert run(["datasets"]) == 0
    assert f"Decoded pictures are kept in {place}" in capsys.readouterr().out
