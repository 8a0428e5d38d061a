"""Folders of images and Tiny-ImageNet inside archives: read where they are, and what is refused of them."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from easy_data import easy_data, folder_of
from PIL import Image
from refusals import check_refused
from test_datasets_files import tiny

from gsdd_runtime.datasets import archive_listing, load_dataset, packed
from gsdd_runtime.datasets.archive_listing import open_archive
from gsdd_runtime.datasets.cache import key_of
from gsdd_runtime.errors import InputError

Files = dict[str, bytes]
KINDS = ("zip", "stored.zip", "tar", "tar.gz")


def contents(root: Path) -> Files:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def pack(files: Files, place: Path) -> Path:
    """``files`` by name, in the kind of archive that the suffix of ``place`` says."""
    if place.name.endswith(".zip"):
        method = zipfile.ZIP_STORED if "stored" in place.name else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(place, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return place
    with tarfile.open(place, "w:gz" if place.name.endswith("gz") else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return place


def picture(gray: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), gray).save(file, "PNG")
    return file.getvalue()


def bitmap() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "BMP")
    return file.getvalue()


SMALL = {"cat/1.png": picture(1), "cat/2.png": picture(2), "dog/1.png": picture(3), "dog/2.png": picture(4)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", ["", "easy-1.0/all/"])
def test_an_archive_is_read_as_the_folder_is(kind: str, around: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    expected = load_dataset(folder_of(easy_data(), folder))
    files = contents(folder)
    # What systems leave behind, and a picture in a folder of its class.
    deep = next(name for name in files if name.startswith("train/"))
    files[f"{deep.rpartition('/')[0]}/more/{Path(deep).name}"] = files.pop(deep)
    files |= {"__MACOSX/train/top/x.png": b"", "train/.hidden.png": b"", "README": b"read me"}
    place = pack({around + name: content for name, content in files.items()}, tmp_path / f"easy.{kind}")
    before = sorted(tmp_path.rglob("*"))
    data = load_dataset(f"imagefolder:{place}")
    assert data.fingerprint == expected.fingerprint
    assert data.class_names == expected.class_names
    assert data.name == f"imagefolder:{place}"
    assert data.split == f"{place}{'/' + around[:-1] if around else ''}: trains on 30 images of train, " + (
        "tests on 24 images of test"
    )
    assert torch.equal(data.test_images, expected.test_images)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_without_parts_is_held_out_of(tmp_path: Path) -> None:
    data = load_dataset(f"imagefolder:{pack(SMALL, tmp_path / 'small.zip')}", test_part=0.5)
    assert data.class_names == ("cat", "dog")
    assert data.train_images[:, 0, 0, 0].tolist() == [1, 3]
    assert data.test_images[:, 0, 0, 0].tolist() == [2, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_imagenet_is_read_out_of_its_archive(kind: str, tmp_path: Path) -> None:
    root = tiny(tmp_path / "tiny-imagenet-200")
    expected = load_dataset("tiny-imagenet", data_dir=root)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    files = {f"tiny-imagenet-200/{name}": content for name, content in contents(root).items()}
    place = pack(files, downloads / f"tiny-imagenet-200.{kind.replace('stored.', '')}")
    for given in (place, downloads):
        data = load_dataset("tiny-imagenet", data_dir=given)
        assert data.fingerprint == expected.fingerprint
        assert data.split == f"{place}/tiny-imagenet-200: trains on 6 images of train, tests on 3 images of val"
    chosen = load_dataset("tiny-imagenet", data_dir=place, classes="reel,goldfish", size=(32, 32))
    assert chosen.train_images[::2, 0, 0, 0].tolist() == [200, 100]
    check_refused(lambda: load_dataset("tiny-imagenet", data_dir=pack(SMALL, tmp_path / "x.zip")), "no Tiny-ImageNet")


def linked(place: Path) -> Path:
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            info = zipfile.ZipInfo("cat/1.png")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "/etc/passwd")
        return place
    with tarfile.open(place, "w") as tar:
        info = tarfile.TarInfo("cat/1.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    return place


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"cat/../../x.png": b""}, "leads out of it"),
        ({"/cat/x.png": b""}, "leads out of it"),
        ({"cat": b"", "cat/x.png": b""}, "is in a file and not in a folder"),
        ({"cat/x.png": b"", "cat": b""}, "'cat' comes twice"),
        ({"cat/x.png": b"", "cat//x.png": b""}, "'cat//x.png' comes twice"),
        ({**SMALL, "cat/3.png": b"<html>"}, "cat/3.png is no image that can be read"),
        ({**SMALL, "cat/3.bmp": bitmap()[:90]}, "cat/3.bmp is a damaged image"),
        ({"x.png": b""}, "holds no folder of images"),
        ({}, "holds no folder of images"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_an_archive_may_not_hold(kind: str, files: Files, words: str, tmp_path: Path) -> None:
    place = pack(files, tmp_path / f"bad.{kind}")
    check_refused(lambda: load_dataset(f"imagefolder:{place}"), str(place), words)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_links_are_not_followed(kind: str, tmp_path: Path) -> None:
    place = linked(tmp_path / f"links.{kind}")
    check_refused(lambda: load_dataset(f"imagefolder:{place}"), "'cat/1.png' is a link or no file: unpack")


def encrypted(content: bytes) -> bytes:
    """A zip whose files say, in both places, that a password opens them."""
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        begin = 0
        while (begin := content.find(mark, begin)) >= 0:
            content = content[: begin + at] + bytes([content[begin + at] | 1]) + content[begin + at + 1 :]
            begin += at
    return content


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("kind", "damage", "words"),
    [
        ("zip", lambda content: content[:-30], "is no .zip, .tar or .tar.gz, or is damaged"),
        ("stored.zip", lambda content: flipped(content, content.index(SMALL["dog/1.png"]) + 45), "Bad CRC-32"),
        ("zip", encrypted, "is damaged or encrypted"),
        ("tar", lambda content: content[:700], "is no .zip, .tar or .tar.gz, or is damaged"),
        ("tar", lambda content: content[: -len(content) % 512 + 1024], "is no .zip, .tar or .tar.gz, or is damaged"),
        ("tar", lambda content: flipped(content, 1030), "is no .zip, .tar or .tar.gz, or is damaged"),
        ("tar.gz", lambda content: content[:-20], "is no .zip, .tar or .tar.gz, or is damaged"),
        ("tar.gz", lambda content: flipped(content, len(content) - 6), "CRC check failed"),
        ("tar", lambda _: b"<html>" * 200, "is no .zip, .tar or .tar.gz, or is damaged"),
        ("tar", lambda _: b"", "is no .zip, .tar or .tar.gz, or is damaged"),
    ],
)
def test_a_damaged_archive_is_named(kind: str, damage: Callable[[bytes], bytes], words: str, tmp_path: Path) -> None:
    place = pack(SMALL, tmp_path / f"damaged.{kind}")
    place.write_bytes(damage(place.read_bytes()))
    check_refused(lambda: load_dataset(f"imagefolder:{place}"), str(place), words)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb_is_refused_before_it_goes_off(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pack({**SMALL, "cat/3.bmp": bytes(1 << 22)}, tmp_path / f"bomb.{kind}")
    assert place.stat().st_size * packed.MAX_RATIO < 1 << 22
    monkeypatch.setattr(packed, "FREE_BYTES", 0)
    monkeypatch.setattr(archive_listing, "_PART", 1 << 16)
    check_refused(lambda: load_dataset(f"imagefolder:{place}"), str(place), "to more than 200 times its size")


def test_sizes_and_numbers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pack({**SMALL, "cat/3.bmp": bytes(5000)}, tmp_path / "large.zip")
    monkeypatch.setattr(packed, "MAX_FILE_BYTES", 4999)
    check_refused(lambda: load_dataset(f"imagefolder:{place}"), "cat/3.bmp has 5.0 kB, at most 5.0 kB are read")
    monkeypatch.setattr(packed, "MAX_FILES", 4)
    check_refused(lambda: load_dataset(f"imagefolder:{place}"), "holds more than 4 files")
    deep = pack({"a/b/c/d/1.png": b"picture"}, tmp_path / "deep.zip")
    check_refused(lambda: open_archive(deep), "holds more than 4 folders")


def test_a_pipe_is_no_archive(tmp_path: Path) -> None:
    """It would wait for somebody who writes."""
    os.mkfifo(tmp_path / "a.tar")
    check_refused(lambda: open_archive(tmp_path / "a.tar"), "is no ordinary file: give a folder or an archive")


def test_what_gzip_packs_has_to_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pack(SMALL, tmp_path / "small.tar.gz")
    monkeypatch.setattr("gsdd_runtime.memory.UNASKED_BYTES", 0)
    monkeypatch.setattr("gsdd_runtime.memory.available_memory", lambda: 5000)
    check_refused(lambda: load_dataset(f"imagefolder:{place}"), "unpacked would take", "unpack it and give the folder")


def test_a_tar_that_goes_backwards_is_damaged(tmp_path: Path) -> None:
    info = tarfile.TarInfo("cat/1.png")
    info.size = -512
    header = info.tobuf(tarfile.GNU_FORMAT)
    place = tmp_path / "round.tar"
    place.write_bytes(header * 4 + bytes(1024))
    check_refused(lambda: open_archive(place), "or is damaged")


@pytest.mark.parametrize("size", [1 << 45, 1 << 62, 1 << 80])
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, b"Z", b"0"])
def test_a_size_that_no_file_has_is_refused(kind: bytes, size: int, tmp_path: Path) -> None:
    """The library reads a name of that size at once, and seeks behind what it does not know."""
    info = tarfile.TarInfo("cat.tar")
    info.type, info.size = kind, size
    header = info.tobuf(tarfile.GNU_FORMAT)
    place = tmp_path / "sizes.tar"
    for content in (header + bytes(1024), header + header + bytes(1024), gzip.compress(header + bytes(1024))):
        place.write_bytes(content)
        check_refused(lambda: open_archive(place, nested=True), str(place), "fetch the archive again")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_chance_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    whole = pack(SMALL, tmp_path / f"whole.{kind}").read_bytes()
    random = np.random.default_rng(4)
    place = tmp_path / f"chance.{kind}"
    for _ in range(150):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), 4):
            damaged[at] = random.integers(0, 256)
        place.write_bytes(damaged[: random.integers(1, len(whole) + 1)] if random.random() < 0.2 else damaged)
        try:
            load_dataset(f"imagefolder:{place}")
        except InputError:
            continue


def test_threads_read_side_by_side(tmp_path: Path) -> None:
    files = {f"c/{number}.bin": bytes([number]) * (20_000 + number) for number in range(40)}
    for kind in KINDS:
        root = open_archive(pack(files, tmp_path / f"many.{kind}"))
        wrong: list[str] = []

        def read(root: packed.PackedPath = root, wrong: list[str] = wrong) -> None:
            wrong.extend(name for name, content in files.items() if (root / name).open().read() != content)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_decoded_pictures_belong_to_the_archive_as_it_is(tmp_path: Path) -> None:
    place = pack(SMALL, tmp_path / "small.zip")
    one, two = (open_archive(place) / name for name in ("cat/1.png", "cat/2.png"))
    assert key_of([one], {}) == key_of([open_archive(place) / "cat/1.png"], {})
    assert key_of([one], {}) != key_of([two], {})
    os.utime(place, ns=(1, 1))
    assert key_of([one], {}) != key_of([open_archive(place) / "cat/1.png"], {})


def test_the_archive_is_closed_with_its_last_file(tmp_path: Path) -> None:
    def opened() -> int:
        return sum("small" in os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                   if os.path.islink(f"/proc/self/fd/{name}"))  # fmt: skip

    for kind in KINDS:
        load_dataset(f"imagefolder:{pack(SMALL, tmp_path / f'small.{kind}')}")
        assert opened() == 0


def test_gzip_of_something_else_is_damaged(tmp_path: Path) -> None:
    place = tmp_path / "x.tar.gz"
    place.write_bytes(gzip.compress(b"no tar" * 300))
    check_refused(lambda: load_dataset(f"imagefolder:{place}"), "is no .zip, .tar or .tar.gz, or is damaged")
