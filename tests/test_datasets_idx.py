"""Fashion-MNIST from IDX files: read whole, or refused on one line that names the file."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch

from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.datasets.fashion_mnist import FILES
from gsdd_runtime.datasets.idx import read_idx
from gsdd_runtime.errors import InputError

TRAIN_IMAGES = FILES["train images"]
TRAIN_LABELS = FILES["train labels"]


def idx(values: torch.Tensor) -> bytes:
    head = bytes([0, 0, 8, values.dim()]) + struct.pack(f">{values.dim()}I", *values.shape)
    return head + values.to(torch.uint8).numpy().tobytes()


def images(count: int, side: int = 28) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, side, side), generator=generator)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All four files, small, not compressed."""
    (tmp_path / TRAIN_IMAGES).write_bytes(idx(images(20)))
    (tmp_path / TRAIN_LABELS).write_bytes(idx(torch.arange(20) % 10))
    (tmp_path / FILES["test images"]).write_bytes(idx(images(10)))
    (tmp_path / FILES["test labels"]).write_bytes(idx(torch.arange(10)))
    return tmp_path


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_dataset("fashion-mnist", data_dir=folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    for word in words:
        assert word in message, message


def test_plain_files(folder: Path) -> None:
    data = load_dataset("fashion-mnist", data_dir=folder)
    assert torch.equal(data.train_images, images(20).to(torch.uint8).unsqueeze(1))
    assert data.test_labels.tolist() == list(range(10))


def test_compressed_files_give_the_same(folder: Path) -> None:
    plain = load_dataset("fashion-mnist", data_dir=folder)
    for name in FILES.values():
        path = folder / name
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert load_dataset("fashion-mnist", data_dir=folder).fingerprint == plain.fingerprint


def test_the_first_bytes_tell_compression_not_the_name(folder: Path) -> None:
    plain = load_dataset("fashion-mnist", data_dir=folder)
    (folder / TRAIN_IMAGES).write_bytes(gzip.compress((folder / TRAIN_IMAGES).read_bytes()))
    (folder / TRAIN_LABELS).rename(folder / f"{TRAIN_LABELS}.gz")
    assert load_dataset("fashion-mnist", data_dir=folder).fingerprint == plain.fingerprint


@pytest.mark.parametrize("name", list(FILES.values()))
def test_a_missing_file_says_where_to_get_it(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, f"neither {name} nor {name}.gz", "zalandoresearch/fashion-mnist", "dataset-fashion-mnist")


def test_a_folder_in_the_place_of_a_file(folder: Path) -> None:
    (folder / TRAIN_IMAGES).unlink()
    (folder / TRAIN_IMAGES).mkdir()
    refused(folder, "neither")


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 10, 15])
def test_a_file_that_ends_in_its_header(folder: Path, kept: int) -> None:
    path = folder / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:kept])
    refused(folder, TRAIN_IMAGES)


def test_a_file_that_ends_early(folder: Path) -> None:
    path = folder / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:-1])
    refused(folder, TRAIN_IMAGES, "ends early", "15680", "15679")


def test_a_file_that_goes_on(folder: Path) -> None:
    path = folder / TRAIN_IMAGES
    path.write_bytes(path.read_bytes() + b"\0")
    refused(folder, TRAIN_IMAGES, "goes on")


def test_a_compressed_file_that_goes_on(folder: Path) -> None:
    path = folder / TRAIN_IMAGES
    path.write_bytes(gzip.compress(path.read_bytes()) + b"rest")
    refused(folder, TRAIN_IMAGES, "gzip")


@pytest.mark.parametrize("kept", [3, 12, 200, -9, -4, -1])
def test_a_compressed_file_that_ends_early(folder: Path, kept: int) -> None:
    path = folder / TRAIN_IMAGES
    path.write_bytes(gzip.compress(path.read_bytes())[:kept])
    refused(folder, TRAIN_IMAGES, "gzip", "fetch the file again")


@pytest.mark.parametrize("position", [2, 40, 5000, -6])
def test_corrupt_compressed_data(folder: Path, position: int) -> None:
    path = folder / TRAIN_IMAGES
    packed = bytearray(gzip.compress(path.read_bytes()))
    packed[position] ^= 0xFF
    path.write_bytes(packed)
    refused(folder, TRAIN_IMAGES)


def test_a_file_of_another_kind(folder: Path) -> None:
    (folder / TRAIN_IMAGES).write_bytes(b"<html>not found</html>")
    refused(folder, TRAIN_IMAGES, "not an IDX file")


def test_labels_in_the_place_of_images(folder: Path) -> None:
    (folder / TRAIN_IMAGES).write_bytes((folder / TRAIN_LABELS).read_bytes())
    refused(folder, TRAIN_IMAGES, "magic 0x0803", "got magic 0x0801")


def test_numbers_that_are_not_bytes(folder: Path) -> None:
    path = folder / TRAIN_IMAGES
    path.write_bytes(b"\0\0\x0d\x03" + path.read_bytes()[4:])
    refused(folder, TRAIN_IMAGES, "got magic 0x0d03")


@pytest.mark.parametrize("counts", [(2**32 - 1, 2**32 - 1, 2**32 - 1), (2**31, 28, 28), (0, 28, 28)])
def test_a_header_that_promises_the_impossible(folder: Path, counts: tuple[int, int, int]) -> None:
    path = folder / TRAIN_IMAGES
    path.write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", *counts) + bytes(100))
    refused(folder, TRAIN_IMAGES, "the header says")


def test_a_header_that_promises_much_costs_nothing(folder: Path) -> None:
    """A count near the limit, with a few bytes behind it, is refused by what is there."""
    path = folder / TRAIN_IMAGES
    path.write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 1_000_000, 28, 28) + bytes(100))
    refused(folder, TRAIN_IMAGES, "784000000", "100 do")


def test_images_of_another_size(folder: Path) -> None:
    (folder / TRAIN_IMAGES).write_bytes(idx(images(20, side=32)))
    refused(folder, TRAIN_IMAGES, "32x32")


def test_fewer_labels_than_images(folder: Path) -> None:
    (folder / TRAIN_LABELS).write_bytes(idx(torch.arange(19) % 10))
    refused(folder, TRAIN_IMAGES, TRAIN_LABELS, "20 images", "19 labels")


def test_a_label_out_of_range(folder: Path) -> None:
    (folder / TRAIN_LABELS).write_bytes(idx(torch.arange(20) % 11))
    refused(folder, TRAIN_LABELS, "label 10 is out of range")


def test_an_unreadable_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(InputError, match="Permission denied"):
        read_idx(folder / TRAIN_IMAGES, 3)
