"""CIFAR-10 and CIFAR-100: small archives in the official layouts, damaged ones, and the real data where it is."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cifar_files import PER_FILE, binary_files, pack, python_files, records, write
from refusals import check_refused

from gsdd_runtime import progress
from gsdd_runtime.datasets import archives, load_dataset
from gsdd_runtime.datasets.catalog import DATASETS
from gsdd_runtime.datasets.cifar import CIFAR10_NAMES, CIFAR100_NAMES, KINDS
from gsdd_runtime.errors import InputError

NAMES = ("cifar10", "cifar100")
REAL = os.environ.get("GSDD_CIFAR10")


@pytest.fixture(autouse=True)
def _every_line_is_the_first() -> Iterator[None]:
    progress.say_once.cache_clear()
    yield
    progress.say_once.cache_clear()


def refused(name: str, place: Path, *words: str) -> None:
    check_refused(lambda: load_dataset(name, data_dir=place), *words)


def changed(files: dict[str, bytes], name: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    place = next(place for place in files if place.endswith(f"/{name}"))
    return {**files, place: change(files[place])}


@pytest.mark.parametrize("name", NAMES)
def test_every_form_of_the_archive_gives_the_same_data(name: str, tmp_path: Path) -> None:
    binary, python = binary_files(name), python_files(name)
    forms, archive_names = KINDS[name].forms, {}
    for form, files in zip(forms, (binary, python), strict=True):
        folder = tmp_path / form.archive
        folder.mkdir()
        archive_names[form.archive] = pack(folder / form.archive, files)
    places = [
        write(tmp_path / "b", binary), tmp_path / "b" / forms[0].folder,
        write(tmp_path / "p", python), tmp_path / "p" / forms[1].folder,
        write(tmp_path / "t", python_files(name, protocol=4, text=True)),
        *archive_names.values(), *(path.parent for path in archive_names.values()),
        pack(tmp_path / "renamed.tar", binary, "w"), pack(tmp_path / "unpacked.bin", python, "w"),
    ]  # fmt: skip
    read = [load_dataset(name, data_dir=place) for place in places]
    first = read[0]
    assert first.class_names == (CIFAR10_NAMES if name == "cifar10" else CIFAR100_NAMES)
    files = list(records(name).values())
    train = [row for rows in files[:-1] for row in rows]
    assert first.train_labels.tolist() == [row[0] for row in train]
    assert first.test_labels.tolist() == [row[0] for row in files[-1]]
    assert first.train_images.shape == (len(train), 3, 32, 32)
    for image, row in zip(first.train_images, train, strict=True):
        assert image.numpy().tobytes() == row[2]
    assert first.test_images[-1].numpy().tobytes() == files[-1][-1][2]
    for data in read[1:]:
        assert torch.equal(data.train_images, first.train_images)
        assert torch.equal(data.test_labels, first.test_labels)
        assert data.fingerprint == first.fingerprint


def test_images_are_scaled_in_every_channel(tmp_path: Path) -> None:
    write(tmp_path, binary_files("cifar10"))
    data = load_dataset("cifar10", data_dir=tmp_path, size=(16, 8))
    assert data.train_images.shape == (5 * PER_FILE, 3, 16, 8)
    own = load_dataset("cifar10", data_dir=tmp_path)
    means = own.train_images.float().mean(dim=(0, 2, 3)), data.train_images.float().mean(dim=(0, 2, 3))
    torch.testing.assert_close(*means, atol=2, rtol=0)


def test_data_that_is_not_the_whole_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, binary_files("cifar10"))
    load_dataset("cifar10", data_dir=tmp_path)
    told = capsys.readouterr().err
    assert "holds 20 images to train on and 4 to test on, the whole of cifar10 has 50000 and 10000" in told


def test_other_content_of_the_official_number_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, binary_files("cifar10"))
    data = load_dataset("cifar10", data_dir=tmp_path)
    for fingerprint, words in (
        (data.fingerprint, ""),
        ("sha256-sorted:00", "other images or labels than the official"),
    ):
        known = replace(DATASETS["cifar10"], images=(20, 4), fingerprint=fingerprint)
        monkeypatch.setitem(DATASETS, "cifar10", known)
        capsys.readouterr()
        load_dataset("cifar10", data_dir=tmp_path)
        told = capsys.readouterr().err
        assert (words in told) if words else told == ""


@pytest.mark.parametrize("name", NAMES)
def test_published_statistics_are_those_of_the_field(name: str, tmp_path: Path) -> None:
    write(tmp_path, binary_files(name))
    data = load_dataset(name, data_dir=tmp_path, normalization="published")
    assert (data.mean, data.std) == DATASETS[name].published
    computed = load_dataset(name, data_dir=tmp_path)
    assert computed.mean != data.mean
    assert computed.fingerprint == data.fingerprint
    with pytest.raises(InputError, match="normalization 'imagenet' is not known"):
        load_dataset(name, data_dir=tmp_path, normalization="imagenet")
    with pytest.raises(InputError, match="leave --normalization out"):
        load_dataset(name, data_dir=tmp_path, normalization="published", zca=True)


# What is refused


def test_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--data-dir DIR"):
        load_dataset("cifar10")
    refused("cifar10", tmp_path / "none", "does not exist", "toronto.edu")
    refused("cifar10", tmp_path, "holds nothing of cifar10", "cifar-10-binary.tar.gz")
    refused("cifar10", pack(tmp_path / "a.tar.gz", {"other/file": b"1"}), "holds no file of cifar10")
    refused("cifar100", pack(tmp_path / "b.tar.gz", binary_files("cifar10")), "holds no file of cifar100")


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file(name: str, tmp_path: Path) -> None:
    for make in (binary_files, python_files):
        files = make(name)
        place = next(place for place in files if "test" in place)
        del files[place]
        refused(name, write(tmp_path / make.__name__, files), "lacks test")
        refused(name, pack(tmp_path / f"{make.__name__}.tar.gz", files), "lacks test")


def test_names_of_other_classes(tmp_path: Path) -> None:
    for make, meta in ((binary_files, "batches.meta.txt"), (python_files, "batches.meta")):
        files = changed(make("cifar10"), meta, lambda content: content.replace(b"cat", b"cow"))
        refused("cifar10", write(tmp_path / meta, files), meta, "names other classes")


def batch(labels: list[Any]) -> bytes:
    """Two images with any labels."""
    return pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": labels}, protocol=2)


def test_damaged_files(tmp_path: Path) -> None:
    def damaged(
        name: str, make: Callable[[str], dict[str, bytes]], file: str, change: Callable[[bytes], bytes]
    ) -> Path:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return write(folder, changed(make(name), file, change))

    cases: list[tuple[str, Callable[[str], dict[str, bytes]], str, Callable[[bytes], bytes], str]] = [
        ("cifar10", binary_files, "data_batch_3.bin", lambda content: content[:-1], "no multiple of 3073"),
        ("cifar10", binary_files, "data_batch_3.bin", lambda content: b"", "no multiple of 3073"),
        ("cifar10", binary_files, "test_batch.bin", lambda content: b"\x0a" + content[1:], "out of range"),
        ("cifar100", binary_files, "train.bin", lambda content: b"\x00\x64" + content[2:], "out of range"),
        ("cifar10", python_files, "data_batch_2", lambda content: content[:-40], "data_batch_2"),
        ("cifar10", python_files, "data_batch_2", lambda content: b"<html>", "damaged"),
        ("cifar10", python_files, "data_batch_2", lambda content: content.replace(b"data", b"dada"), "data must be"),
        ("cifar10", python_files, "batches.meta", lambda content: content.replace(b"label_", b"lebal_"), "lacks label"),
        ("cifar100", python_files, "train", lambda content: content.replace(b"fine_", b"find_"), "fine_labels must be"),
        ("cifar10", python_files, "data_batch_2", lambda _: pickle.dumps([1, 2]), "holds no dictionary"),
        ("cifar10", python_files, "data_batch_2", lambda _: batch(["cat", "dog"]), "a list of whole numbers"),
        ("cifar10", python_files, "data_batch_2", lambda _: batch([0]), "holds 2 images and 1 label"),
        ("cifar10", python_files, "data_batch_2", lambda _: batch([0, 1 << 40]), "a label is out of range"),
    ]
    for number, (name, make, file, change, words) in enumerate(cases):
        refused(name, write(tmp_path / str(number), changed(make(name), file, change)), words)


def test_a_pickled_program_is_not_run(tmp_path: Path) -> None:
    program = b"cos\nmkdir\n(S'" + os.fsencode(tmp_path / "run") + b"'\ntR."
    files = changed(python_files("cifar10"), "data_batch_1", lambda _: program)
    refused("cifar10", write(tmp_path / "p", files), "os.mkdir", "nothing of it was run")
    refused("cifar10", pack(tmp_path / "p.tar.gz", files), "os.mkdir", "nothing of it was run")
    assert not (tmp_path / "run").exists()


# Archives


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as out:
        for info, content in members:
            out.addfile(info, io.BytesIO(content))
    return path


BATCH = "cifar-10-batches-bin/test_batch.bin"


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "cifar-10-batches-bin/../../x"])
def test_an_archive_that_climbs_out(name: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", member(name, b"1"))
    refused("cifar10", path, "leads out of it", name)
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar.gz"]


def test_links_in_an_archive_are_no_files(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        path = archive(tmp_path / "a.tar.gz", member(BATCH, type=kind, linkname="/etc/passwd"))
        refused("cifar10", path, f"{BATCH} is no file")


def test_a_file_that_comes_twice(tmp_path: Path) -> None:
    refused("cifar10", archive(tmp_path / "a.tar.gz", member(BATCH, b"1"), member(BATCH, b"2")), "comes twice")


def test_archives_that_unpack_to_far_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 100_000)
    zeros = bytes(200_000)
    refused("cifar10", archive(tmp_path / "a.tar.gz", member("other", zeros)), "unpacks to more than 0.1 MB")
    refused("cifar10", archive(tmp_path / "b.tar.gz", member(BATCH, zeros)), "unpacks to more than 0.1 MB")
    # A comment is read whole by the library.
    (tmp_path / "c.tar.gz").write_bytes(gzip.compress(tarfile.TarInfo("x").tobuf()[:156] + b"x" + zeros))
    refused("cifar10", tmp_path / "c.tar.gz", str(tmp_path / "c.tar.gz"))
    monkeypatch.setattr("gsdd_runtime.datasets.cifar._MAX_BYTES", 10)
    refused("cifar10", archive(tmp_path / "d.tar.gz", member(BATCH, b"1" * 11)), "has 11 bytes, at most 10")
    refused("cifar10", write(tmp_path / "e", binary_files("cifar10")), "has more than 10 bytes")
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 3)
    refused("cifar10", archive(tmp_path / "f.tar.gz", *(member(str(at)) for at in range(4))), "more than 3 files")


def test_an_entry_of_any_size_that_is_not_there_is_not_looked_for(tmp_path: Path) -> None:
    """The library reads on past the end, once for each ten kilobytes of what the header says: for ever."""
    info = tarfile.TarInfo("other")
    info.size = 1 << 80
    for packed in (bytes, gzip.compress):
        (tmp_path / "a.tar").write_bytes(packed(info.tobuf(tarfile.GNU_FORMAT)))
        refused("cifar10", tmp_path / "a.tar", "a.tar is a damaged archive (unexpected end of data)")


def test_damaged_archives(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar.gz", binary_files("cifar10")).read_bytes()
    path = tmp_path / "b.tar.gz"
    for content in (b"", b"<html>", whole[:1000], whole[: len(whole) // 2], whole[:-4], whole[:-8] + bytes(8)):
        path.write_bytes(content)
        refused("cifar10", path, str(path))
    # A wrong checksum, in the middle too.
    for at in (-8, len(whole) // 2):
        flipped = bytearray(whole)
        flipped[at] ^= 0x10
        path.write_bytes(flipped)
        refused("cifar10", path, str(path))


# The real data, where it is


@pytest.mark.skipif(REAL is None, reason="GSDD_CIFAR10 names no folder with the official CIFAR-10 in it")
def test_the_whole_of_cifar10_has_the_published_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    assert REAL is not None
    data = load_dataset("cifar10", data_dir=REAL)
    assert [round(value, 5) for value in data.mean] == [0.4914, 0.48216, 0.44653]
    assert [round(value, 5) for value in data.std] == [0.24703, 0.24349, 0.26159]
    assert data.train_labels.bincount().tolist() == [5000] * 10
    assert data.fingerprint == DATASETS["cifar10"].fingerprint
    assert capsys.readouterr().err == ""
