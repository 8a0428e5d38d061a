"""ImageNet in the form of its official archives, made small: a tar of tars, a flat tar, and the kit's classes."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusals import check_refused
from test_datasets_archives import pack
from test_datasets_files import element, mat_file, matrix

from gsdd_runtime.datasets import load_dataset
from gsdd_runtime.datasets.class_choice import imagenet_names


def variable(flags: int, shape: tuple[int, ...], title: str, rest: bytes) -> bytes:
    sides = struct.pack(f"<{len(shape)}i", *shape)
    head = element(6, struct.pack("<II", flags, 0), "<") + element(5, sides, "<")
    return element(14, head + element(1, title.encode(), "<") + rest, "<")


def structures(name: str, rows: list[dict[str, float | str]], packed_by_zlib: bool) -> bytes:
    """A MAT file with an array of structures, each field one number (bytes or doubles) or a text."""

    body = b""
    for row in rows:
        for value in row.values():
            if isinstance(value, str):
                body += variable(4, (1, len(value)), "", element(4, value.encode("utf-16-le"), "<"))
            elif 0 <= value < 256:
                body += variable(6, (1, 1), "", element(2, bytes([int(value)]), "<"))
            else:
                body += variable(6, (1, 1), "", element(9, struct.pack("<d", value), "<"))
    names = b"".join(field.encode().ljust(32, b"\0") for field in rows[0])
    whole = variable(2, (len(rows), 1), name, element(5, struct.pack("<i", 32), "<") + element(1, names, "<") + body)
    if packed_by_zlib:
        content = zlib.compress(whole)
        whole = struct.pack("<II", 15, len(content)) + content
    return mat_file(matrix("other", np.zeros((2, 2))), whole)


# By number in the kit, which is not the order of the ids.
SYNSETS = {1: "n02119789", 2: "n01440764", 300: "n02100735", 4: "n00000004"}
TRUTH = [300, 1, 2, 2]


def jpeg(gray: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (gray, gray, gray)).save(file, "JPEG")
    return file.getvalue()


def official(
    root: Path, *, packed_by_zlib: bool = True, truth: list[int] = TRUTH, kit: bool = True, mat: bytes = b""
) -> Path:
    """ImageNet's three archives with three classes of two pictures, and four to test on."""
    root.mkdir()
    inner = {}
    for number in (1, 2, 300):
        wordnet = SYNSETS[number]
        files = {f"{wordnet}_{at}.JPEG": jpeg(number % 256 + at) for at in range(2)}
        inner[f"{wordnet}.tar"] = pack(files, root / "inner.tar").read_bytes()
    (root / "inner.tar").unlink()
    pack(inner, root / "ILSVRC2012_img_train.tar")
    tested = {f"ILSVRC2012_val_{at + 1:08}.JPEG": jpeg(10 * at) for at in reversed(range(4))}
    pack(tested, root / "ILSVRC2012_img_val.tar")
    rows: list[dict[str, float | str]] = [
        {"ILSVRC2012_ID": number, "WNID": wordnet, "words": "x, y", "num_train_images": 1300}
        for number, wordnet in SYNSETS.items()
    ]
    data = "ILSVRC2012_devkit_t12/data"
    files = {
        f"{data}/meta.mat": mat or structures("synsets", rows, packed_by_zlib),
        f"{data}/ILSVRC2012_validation_ground_truth.txt": "".join(f"{number}\n" for number in truth).encode(),
    }
    if kit:
        pack(files, root / "ILSVRC2012_devkit_t12.tar.gz")
    return root


@pytest.mark.parametrize("packed_by_zlib", [True, False])
def test_imagenet_is_read_out_of_its_archives(packed_by_zlib: bool, tmp_path: Path) -> None:
    root = official(tmp_path / "imagenet", packed_by_zlib=packed_by_zlib)
    data = load_dataset("imagenet", data_dir=root, size=(8, 8))
    assert data.class_names == tuple(imagenet_names()[key] for key in ("n01440764", "n02100735", "n02119789"))
    # By sorted id: numbers 2, 300 and 1 of the kit.
    assert data.train_images[:, 0, 4, 4].tolist() == [2, 3, 44, 45, 1, 2]
    assert data.train_labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.test_images[:, 0, 4, 4].tolist() == [20, 30, 0, 10]
    assert data.test_labels.tolist() == [0, 0, 1, 2]
    parts = "trains on 6 images of ILSVRC2012_img_train.tar, tests on 4 images of ILSVRC2012_img_val.tar"
    assert data.split == f"{root}: {parts}"
    chosen = load_dataset("imagenet", data_dir=root, size=(8, 8), classes="n02119789,tench", resize="squash")
    assert chosen.class_names[1] == "tench"
    assert chosen.test_images[:, 0, 4, 4].tolist() == [10, 20, 30]


def test_imagenet_in_folders_is_read_too(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for wordnet in ("n02119789", "n01440764"):
            folder = tmp_path / part / wordnet
            folder.mkdir(parents=True)
            (folder / "x.JPEG").write_bytes(jpeg(7))
    data = load_dataset("imagenet", data_dir=tmp_path, size=(8, 8))
    assert (data.name, data.class_names[0], len(data.test_labels)) == ("imagenet", "tench", 2)
    published = load_dataset("imagenet", data_dir=tmp_path, size=(8, 8), normalization="published")
    assert published.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"truth": [300, 1, 2]}, "holds 4 pictures, ILSVRC2012_validation_ground_truth.txt tells the classes of 3"),
        ({"truth": [300, 1, 2, 9]}, "tells of the class '9', which meta.mat lacks"),
        ({"truth": [300, 1, 1, 1]}, "tells of no picture of the class n01440764"),
        ({"kit": False}, "lacks ILSVRC2012_devkit_t12.tar.gz, which tells the classes"),
    ],
)
def test_an_imagenet_that_does_not_fit_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    root = official(tmp_path / "imagenet", **change)
    check_refused(lambda: load_dataset("imagenet", data_dir=root, size=(8, 8)), words)


def test_imagenet_says_what_it_needs(tmp_path: Path) -> None:
    check_refused(lambda: load_dataset("imagenet"), "--data-dir DIR", "image-net.org")
    check_refused(
        lambda: load_dataset("imagenet", data_dir=tmp_path), "give the one that all are scaled to (--size HxW)"
    )
    check_refused(lambda: load_dataset("imagenet", data_dir=tmp_path, size=(8, 8)), "holds no ImageNet")
    root = official(tmp_path / "imagenet")
    (root / "ILSVRC2012_img_val.tar").unlink()
    check_refused(lambda: load_dataset("imagenet", data_dir=root, size=(8, 8)), "lacks ILSVRC2012_img_val.tar")


def without_bytes(*shape: int, names: bytes = b"", length: int = 32) -> bytes:
    """Structures that have no fields, or none of which is there."""
    rest = element(5, struct.pack("<i", length), "<") + element(1, names, "<")
    return mat_file(variable(2, shape, "synsets", rest))


@pytest.mark.parametrize(
    ("mat", "words"),
    [
        (structures("synsets", [{"WNID": "n01440764"}], True), "a class without a whole number or an id"),
        (structures("synsets", [{"ILSVRC2012_ID": 1}], True), "a class without a whole number or an id"),
        *(
            (structures("synsets", [{"ILSVRC2012_ID": number, "WNID": "n01440764"}], True), "a class without a whole")
            for number in (float("nan"), float("inf"), 1000.5)
        ),
        (structures("others", [{"ILSVRC2012_ID": 1}], True), "holds no array of structures synsets"),
        # They would be made one after the other, for as long as there is memory.
        (without_bytes(1 << 30, 1 << 30, 1 << 30), "is damaged (names of fields)"),
        (without_bytes(1 << 20, 1, names=b"WNID".ljust(32, b"\0")), "is damaged (an array of 1048576 structures)"),
        (without_bytes(-1, 1, names=b"WNID".ljust(32, b"\0")), "is damaged (an array of -1 structures)"),
        (without_bytes(2, 1, names=b"WNID".ljust(32, b"\0")), "is damaged (structures that end early)"),
        (without_bytes(1, 1, names=bytes(31)), "is damaged (names of fields)"),
        (without_bytes(1, 1, names=bytes(32), length=0), "is damaged (names of fields)"),
    ],
)
def test_classes_that_are_not_as_they_should_be_are_refused(mat: bytes, words: str, tmp_path: Path) -> None:
    root = official(tmp_path / "imagenet", mat=mat)
    check_refused(lambda: load_dataset("imagenet", data_dir=root, size=(8, 8)), "meta.mat", words)
