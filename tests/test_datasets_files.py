"""MNIST, SVHN and Tiny-ImageNet: small files in the official layouts, and damaged ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import check_refused

from gsdd_runtime.datasets import fashion_mnist, load_dataset, mat5
from gsdd_runtime.datasets.catalog import DATASETS
from gsdd_runtime.errors import InputError

RANDOM = np.random.default_rng(2)


def refused(name: str, place: Path | None, *words: str) -> None:
    check_refused(lambda: load_dataset(name, data_dir=place), *words)


@pytest.mark.parametrize("name", ["mnist", "svhn", "tiny-imagenet"])
def test_without_its_files_a_dataset_says_where_they_are(name: str, tmp_path: Path) -> None:
    refused(name, None, "--data-dir DIR", "official")
    refused(name, tmp_path, str(tmp_path), "official")
    refused(name, tmp_path / "none", str(tmp_path / "none"), "official")


# MNIST


def write_idx(path: Path, values: np.ndarray) -> None:
    path.write_bytes(struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes())


@pytest.mark.parametrize("dot", [False, True])
def test_mnist_is_read_from_its_idx_files(dot: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = RANDOM.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    labels = np.array([5, 0, 4, 1, 9, 2], dtype=np.uint8)
    for part, count in (("train", 6), ("test", 3)):
        for kind, values in (("images", images), ("labels", labels)):
            file = fashion_mnist.FILES[f"{part} {kind}"]
            write_idx(tmp_path / (file.replace("-idx", ".idx") if dot else file), values[:count])
    data = load_dataset("mnist", data_dir=tmp_path)
    assert (data.name, data.class_names) == ("mnist", tuple("0123456789"))
    assert np.array_equal(data.train_images[:, 0].numpy(), images)
    assert data.test_labels.tolist() == [5, 0, 4]
    published = load_dataset("mnist", data_dir=tmp_path, normalization="published")
    assert (published.mean, published.std) == ((0.1307,), (0.3081,))
    fashion = load_dataset("fashion-mnist", data_dir=tmp_path)
    monkeypatch.setattr(fashion_mnist, "FASHION_FINGERPRINT", fashion.fingerprint)
    refused("mnist", tmp_path, "holds Fashion-MNIST: name it fashion-mnist")


@pytest.mark.skipif(not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="it is not installed")
def test_the_whole_of_fashion_mnist_is_not_taken_for_mnist() -> None:
    refused("mnist", Path("/usr/share/datasets/fashion-mnist"), "holds Fashion-MNIST")


# SVHN

MAT_KINDS = {"u1": (2, 9), "i1": (1, 8), "f8": (9, 6), "i4": (5, 12), "f4": (7, 7)}


def element(kind: int, data: bytes, order: str) -> bytes:
    if 0 < len(data) <= 4:
        return struct.pack(f"{order}I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(name: str, values: np.ndarray, order: str = "<", packed: bool = True, flags: int = 0) -> bytes:
    """An array as MATLAB writes it, zlib-compressed (-v7) or not (-v6)."""
    stored, number = MAT_KINDS[values.dtype.str[1:]]
    body = element(6, struct.pack(f"{order}II", number | flags, 0), order)
    body += element(5, struct.pack(f"{order}{values.ndim}i", *values.shape), order)
    body += element(1, name.encode(), order)
    body += element(stored, values.astype(values.dtype.newbyteorder(order)).tobytes(order="F"), order)
    whole = struct.pack(f"{order}II", 14, len(body)) + body
    if not packed:
        return whole
    content = zlib.compress(whole)
    return struct.pack(f"{order}II", 15, len(content)) + content


def mat_file(*matrices: bytes, order: str = "<") -> bytes:
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI")
    return head + b"".join(matrices)


IMAGES = RANDOM.integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)
LABELS = np.array([[1], [10], [3], [9], [10]], dtype=np.uint8)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_svhn_is_read_from_its_mat_files(order: str, packed: bool, dtype: str, tmp_path: Path) -> None:
    whole = [("other", np.zeros((2, 2))), ("X", IMAGES), ("y", LABELS.astype(dtype))]
    for file in ("train_32x32.mat", "test_32x32.mat"):
        content = mat_file(*(matrix(name, values, order, packed) for name, values in whole), order=order)
        (tmp_path / file).write_bytes(content)
    data = load_dataset("svhn", data_dir=tmp_path)
    assert data.train_labels.tolist() == [1, 0, 3, 9, 0]
    assert data.class_names == tuple("0123456789")
    for number in range(5):
        for channel in range(3):
            assert np.array_equal(data.test_images[number, channel].numpy(), IMAGES[:, :, channel, number])
    assert load_dataset("svhn", data_dir=tmp_path, size=(16, 16)).train_images.shape == (5, 3, 16, 16)


def test_damaged_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mat_file(matrix("X", IMAGES), matrix("y", LABELS))
    plain = mat_file(matrix("X", IMAGES, packed=False), matrix("y", LABELS, packed=False))
    (tmp_path / "test_32x32.mat").write_bytes(whole)
    cases: list[tuple[bytes, str]] = [
        (b"", "no MAT file of level 5"),
        (b"<html>" * 50, "no MAT file of level 5"),
        (b"\x89HDF" + whole[4:124] + b"\0\2IM" + whole[128:], "no MAT file of level 5"),
        (whole[:1000], "damaged"),
        (whole[:-1], "damaged"),
        (plain[:5000], "damaged"),
        (whole[:300] + bytes(8) + whole[308:], "damaged"),
        (mat_file(matrix("X", IMAGES)), "holds no array y"),
        (mat_file(matrix("X", IMAGES), matrix("y", LABELS), matrix("y", LABELS)), "twice"),
        (mat_file(matrix("X", IMAGES[:16]), matrix("y", LABELS)), "X must be bytes 32x32x3xM, it is uint8 16x32x3x5"),
        (mat_file(matrix("X", IMAGES.astype("i4")), matrix("y", LABELS)), "X must be bytes"),
        (mat_file(matrix("X", IMAGES), matrix("y", LABELS[:4])), "5 images and 4 labels"),
        (mat_file(matrix("X", IMAGES), matrix("y", LABELS + 1)), "labels must be 1 to 10"),
        (mat_file(matrix("X", IMAGES), matrix("y", LABELS + 0.5)), "labels must be 1 to 10"),
        (mat_file(matrix("X", IMAGES, flags=0x0800), matrix("y", LABELS)), "no array of real numbers"),
    ]
    for content, words in cases:
        (tmp_path / "train_32x32.mat").write_bytes(content)
        refused("svhn", tmp_path, "train_32x32.mat", words)
    for seed in range(100):
        damaged = bytearray(plain if seed % 2 else whole)
        random = np.random.default_rng(seed)
        for at in random.integers(128, 400, 3):
            damaged[at] = random.integers(0, 256)
        (tmp_path / "train_32x32.mat").write_bytes(damaged)
        try:
            load_dataset("svhn", data_dir=tmp_path)
        except InputError:
            continue
    monkeypatch.setattr(mat5, "MAX_BYTES", len(whole) + 10)
    (tmp_path / "train_32x32.mat").write_bytes(mat_file(matrix("X", np.zeros((32, 32, 3, 500), np.uint8))))
    refused("svhn", tmp_path, "unpacks to more than")
    (tmp_path / "train_32x32.mat").write_bytes(whole + bytes(20))
    refused("svhn", tmp_path, "is more than")


# Tiny-ImageNet

IDS = ["n02124075", "n01443537", "n04067472"]


def tiny(root: Path) -> Path:
    """Three classes of two training images and one or two to test on, in the layout of the download."""
    root.mkdir()
    (root / "wnids.txt").write_text("\n".join(IDS) + "\n")
    words = {"n02124075": "Egyptian cat", "n01443537": "goldfish, Carassius auratus", "n04067472": "reel", "n9": "x"}
    (root / "words.txt").write_text("".join(f"{key}\t{word}\n" for key, word in words.items()))
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for number, wordnet in enumerate(IDS):
        folder = root / "train" / wordnet / "images"
        folder.mkdir(parents=True)
        (folder.parent / f"{wordnet}_boxes.txt").write_text("0 0 1 1")
        for index in range(2):
            Image.new("RGB", (64, 64), (100 * number, 0, 0)).save(folder / f"{wordnet}_{index}.JPEG")
        Image.new("L", (64, 64), 100 * number).save(root / "val" / "images" / f"val_{9 - number}.JPEG")
        lines.append(f"val_{9 - number}.JPEG\t{wordnet}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


def test_tiny_imagenet_is_read_as_it_is_downloaded(tmp_path: Path) -> None:
    root = tiny(tmp_path / "tiny-imagenet-200")
    for place in (root, tmp_path):
        data = load_dataset("tiny-imagenet", data_dir=place)
        assert data.class_names == ("goldfish", "Egyptian cat", "reel")
        assert data.train_images.shape == (6, 3, 64, 64)
        # Sorted by id: the second, the first and the third of the list.
        assert data.train_images[::2, 0, 0, 0].tolist() == [100, 0, 200]
        assert data.test_labels.tolist() == [0, 1, 2]
        assert data.test_images[:, 1, 0, 0].tolist() == [100, 0, 200]
    assert data.split == f"{root}: trains on 6 images of train, tests on 3 images of val"
    chosen = load_dataset("tiny-imagenet", data_dir=root, classes="reel,goldfish", size=(32, 32))
    assert chosen.class_names == ("reel", "goldfish")
    assert chosen.train_images[::2, 0, 0, 0].tolist() == [200, 100]
    published = load_dataset("tiny-imagenet", data_dir=root, normalization="published")
    assert (published.mean, published.std) == DATASETS["tiny-imagenet"].published


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "words.txt").unlink(), "words.txt: No such file"),
        (lambda root: (root / "wnids.txt").write_text("\n"), "wnids.txt is empty"),
        (lambda root: (root / "wnids.txt").write_bytes(b"\xff"), "is no text"),
        (lambda root: (root / "wnids.txt").write_text("n02124075\nn5\n"), "lacks train/n5"),
        (lambda root: (root / "val" / "images" / "val_8.JPEG").unlink(), "lacks val_8.JPEG"),
        (lambda root: (root / "val" / "val_annotations.txt").write_text("val_9.JPEG\tn5\n"), "in the class 'n5'"),
        (lambda root: (root / "val" / "val_annotations.txt").write_text("../x\tn02124075\n"), "lacks ../x"),
        (lambda root: (root / "val" / "val_annotations.txt").write_text("val_9.JPEG\tn02124075\n"), "names no image"),
        (lambda root: (root / "val" / "images" / "val_8.JPEG").write_bytes(b"<html>"), "no image that can be read"),
    ],
)
def test_a_damaged_tiny_imagenet(damage: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    root = tiny(tmp_path / "tiny")
    damage(root)
    refused("tiny-imagenet", root, words)
