"""A folder of folders of images: layouts, modes, sizes, order; and each way that it can be unusable."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import check_refused

from gsdd_runtime import memory
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData, load_dataset
from gsdd_runtime.datasets.image_folder import load_image_folder
from gsdd_runtime.errors import InputError


def pixels(seed: int, size: tuple[int, int] = (6, 8), mode: str = "RGB") -> Image.Image:
    shape = (*size, 3) if mode == "RGB" else size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def fill(folder: Path, names: list[str], mode: str = "RGB", size: tuple[int, int] = (6, 8)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        pixels(index + len(folder.name), size, mode).save(folder / name)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of six images."""
    for name in ("cat", "dog"):
        fill(tmp_path / name, [f"{index}.png" for index in range(6)])
    return tmp_path


def load(root: Path, **options: object) -> RealData:
    return load_dataset(f"imagefolder:{root}", **options)  # type: ignore[arg-type]


def refused(root: Path, *words: str, **options: object) -> None:
    check_refused(lambda: load(root, **options), *words)


# What is read


def test_every_fifth_by_name_is_held_out(root: Path) -> None:
    data = load(root)
    assert data.class_names == ("cat", "dog")
    assert data.train_images.shape == (10, 3, 6, 8)
    assert data.train_labels.tolist() == [0] * 5 + [1] * 5
    assert data.test_labels.tolist() == [0, 1]
    held_out = np.asarray(Image.open(root / "dog" / "4.png")).transpose(2, 0, 1)
    assert np.array_equal(data.test_images[1].numpy(), held_out)
    kept = np.asarray(Image.open(root / "dog" / "5.png")).transpose(2, 0, 1)
    assert np.array_equal(data.train_images[9].numpy(), kept)
    assert data.name == f"imagefolder:{root}"


@pytest.mark.parametrize(("count", "held_out"), [(2, 1), (4, 1), (5, 1), (9, 1), (10, 2)])
def test_a_small_class_holds_out_at_least_one(tmp_path: Path, count: int, held_out: int) -> None:
    fill(tmp_path / "cat", [f"{index:02}.png" for index in range(count)])
    data = load(tmp_path)
    assert (len(data.train_labels), len(data.test_labels)) == (count - held_out, held_out)


@pytest.mark.parametrize("train_name", ["train", "Train", "TRAINING"])
@pytest.mark.parametrize("test_name", ["test", "Test", "testing", "val", "VALID", "validation"])
def test_train_and_test_folders(tmp_path: Path, train_name: str, test_name: str) -> None:
    fill(tmp_path / train_name / "a", ["1.png", "2.png"])
    fill(tmp_path / train_name / "b", ["1.png"])
    fill(tmp_path / test_name / "a", ["1.png"])
    fill(tmp_path / test_name / "b", ["1.png", "2.png", "3.png"])
    data = load(tmp_path)
    assert data.class_names == ("a", "b")
    assert data.train_labels.tolist() == [0, 0, 1]
    assert data.test_labels.tolist() == [0, 1, 1, 1]
    assert data.split == f"{tmp_path}: trains on 3 images of {train_name}, tests on 4 images of {test_name}"


def test_test_comes_before_val_which_is_said_to_be_unread(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("valid", 2), ("Test", 1)):
        fill(tmp_path / part / "a", [f"{index}.png" for index in range(count)])
    data = load(tmp_path)
    assert len(data.test_labels) == 1
    assert data.split is not None
    assert data.split.endswith("tests on 1 image of Test; not read: valid")


def test_a_test_folder_without_classes_is_passed_over_for_val(tmp_path: Path) -> None:
    fill(tmp_path / "train" / "a", ["1.png"])
    fill(tmp_path / "test", ["1.png", "2.png"])
    fill(tmp_path / "val" / "a", ["1.png", "2.png"])
    assert load(tmp_path).test_labels.tolist() == [0, 0]


def test_a_train_folder_alone_holds_out(tmp_path: Path) -> None:
    fill(tmp_path / "train" / "a", [f"{index}.png" for index in range(5)])
    data = load(tmp_path)
    assert (len(data.train_labels), len(data.test_labels)) == (4, 1)
    held_out = "trains on 4 images of train, tests on 1 image held out of them, 20 % of each class (--test-part)"
    assert data.split == f"{tmp_path}: {held_out}"


@pytest.mark.parametrize(
    ("share", "held_out"), [(0, []), (0.2, [4, 9]), (0.5, [1, 3, 5, 7, 9]), (1 / 3, [2, 5, 8]), (0.01, [9])]
)
def test_the_share_held_out_can_be_chosen(tmp_path: Path, share: float, held_out: list[int]) -> None:
    names = [f"{index}.png" for index in range(10)]
    fill(tmp_path / "a", names)
    data = load(tmp_path, test_part=share)
    expected = [np.asarray(Image.open(tmp_path / "a" / names[index])).transpose(2, 0, 1) for index in held_out]
    assert len(data.test_images) == len(expected)
    assert all(np.array_equal(image, other) for image, other in zip(data.test_images, expected, strict=True))
    assert len(data.train_images) == 10 - len(held_out)


def test_few_of_many_unread_folders_are_named(tmp_path: Path) -> None:
    for name in ("train", "test", *(f"other {index}" for index in range(7))):
        fill(tmp_path / name / "a", ["1.png"])
    split = load(tmp_path).split
    assert split is not None
    assert split.endswith("; not read: other 0, other 1, other 2, other 3, other 4 and 2 more")


def test_without_a_test_part_one_image_a_class_is_enough(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / name, ["1.png"])
    data = load(tmp_path, test_part=0)
    assert data.train_labels.tolist() == [0, 1]
    assert data.test_images.shape == (0, 3, 6, 8)
    assert data.split == f"{tmp_path}: trains on 2 images, tests on nothing"


def test_without_a_test_part_the_test_folder_is_not_read(tmp_path: Path) -> None:
    fill(tmp_path / "train" / "a", ["1.png"])
    fill(tmp_path / "test" / "other", ["1.png"])
    data = load(tmp_path, test_part=0)
    assert (len(data.train_labels), len(data.test_labels)) == (1, 0)
    assert data.split is not None
    assert data.split.endswith("not read: test")


def test_a_class_named_train_is_a_class(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        fill(tmp_path / name, ["1.png", "2.png"])
    assert load(tmp_path).class_names == ("bus", "train")


def test_gray_where_all_are_gray(tmp_path: Path) -> None:
    fill(tmp_path / "a", ["1.png", "2.png"], mode="L")
    assert load(tmp_path).channels == 1
    fill(tmp_path / "b", ["1.jpg", "2.png"])
    assert load(tmp_path).channels == 3
    assert load(tmp_path, channels=1).channels == 1


def test_gray_asked_as_colour_has_equal_channels(tmp_path: Path) -> None:
    fill(tmp_path / "a", ["1.png", "2.png"], mode="L")
    images = load(tmp_path, channels=3).train_images
    assert images.shape[1] == 3
    assert torch.equal(images[:, 0], images[:, 2])


def test_kinds_of_pixels(tmp_path: Path) -> None:
    """Palette, 16 bits, one bit, transparency over white, CMYK: each as a person would see it."""
    folder = tmp_path / "a"
    folder.mkdir()
    Image.new("P", (2, 2), 1).save(folder / "0.png")
    with Image.open(folder / "0.png") as image:
        image.putpalette([0, 0, 0, 200, 100, 50])
        image.save(folder / "0.png")
    Image.fromarray(np.full((2, 2), 0xAB12, dtype=np.uint16)).save(folder / "1.png")
    Image.new("1", (2, 2), 1).save(folder / "2.png")
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(folder / "3.png")
    Image.new("L", (2, 2), 0).save(folder / "4.png")
    Image.new("CMYK", (2, 2), (0, 0, 0, 255)).save(folder / "5.jpg", quality=100)
    images = load(tmp_path, channels=3).train_images
    expected = [(200, 100, 50), (0xAB,) * 3, (255,) * 3, (255,) * 3, (0, 0, 0)]
    for image, color in zip(images, expected, strict=True):
        assert image[:, 0, 0].tolist() == list(color)


def test_images_are_turned_upright(tmp_path: Path) -> None:
    folder = fill(tmp_path / "a", ["1.png"], size=(8, 6))
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels(5, (6, 8)).save(folder / "0.png", exif=exif)
    data = load(tmp_path)
    turned = np.asarray(pixels(5, (6, 8))).transpose(2, 0, 1)
    assert np.array_equal(data.train_images[0].numpy(), np.rot90(turned, k=-1, axes=(1, 2)))


def test_scaling_covers_the_size_and_cuts_the_centre(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    wide = np.zeros((4, 12, 3), dtype=np.uint8)
    wide[:, 4:8] = 255
    for index in range(2):
        Image.fromarray(wide).save(folder / f"{index}.png")
    data = load(tmp_path, size=(4, 4))
    assert data.train_images.shape == (1, 3, 4, 4)
    assert int(data.train_images.min()) == 255


def test_the_order_is_that_of_names_and_the_result_the_same_each_time(root: Path) -> None:
    first = load(root)
    assert torch.equal(load(root).train_images, first.train_images)
    (root / "cat" / "3.png").rename(root / "cat" / "10.png")
    second = load(root)
    # 0 1 2 3 5 before, 0 1 10 2 5 now.
    assert torch.equal(second.train_images[[0, 1, 3, 2, 4]], first.train_images[:5])
    assert second.fingerprint == first.fingerprint


def test_hidden_and_other_files_are_left_out(root: Path) -> None:
    expected = load(root).fingerprint
    (root / ".hidden").mkdir()
    (root / "README.txt").write_text("about")
    (root / "cat" / ".thumb.png").write_bytes(b"no image")
    (root / "cat" / "list.txt").write_text("1 2 3")
    fill(root / "cat" / ".cache", ["1.png"])
    for folder in (root, root / "cat"):
        fill(folder / "__MACOSX", ["1.png"])
        fill(folder / "@eaDir", ["1.png"])
        (folder / "Thumbs.db").write_bytes(b"1")
        (folder / ".DS_Store").write_bytes(b"1")
    (root / "__MACOSX" / "cat").mkdir()
    (root / "lost+found").mkdir()
    assert load(root).fingerprint == expected


def test_folders_in_a_class_are_read_links_to_folders_are_not(root: Path) -> None:
    fill(root / "cat" / "more", ["1.png", "2.png"])
    (root / "dog" / "loop").symlink_to(root, target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    data = load(root)
    assert data.class_names == ("cat", "dog")
    assert len(data.train_labels) + len(data.test_labels) == 14


def test_class_folders_and_files_may_be_links(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = fill(tmp_path_factory.mktemp("elsewhere") / "bird", ["1.png", "2.png"])
    (root / "bird").symlink_to(elsewhere, target_is_directory=True)
    (root / "cat" / "7.png").symlink_to(elsewhere / "1.png")
    assert load(root).class_names == ("bird", "cat", "dog")


# What is refused


def test_no_such_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none", str(tmp_path / "none"), "does not exist")


def test_no_class_folder(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    refused(tmp_path, str(tmp_path), "no folder of images")


def test_an_empty_class(root: Path) -> None:
    (root / "bird").mkdir()
    refused(root, str(root / "bird"), "holds no image")


def test_a_class_of_one_image(root: Path) -> None:
    fill(root / "bird", ["1.png"])
    refused(root, "bird", "one image", "--test-part 0")


def test_a_test_part_without_a_train_part(tmp_path: Path) -> None:
    for part in ("Test", "val"):
        fill(tmp_path / part / "a", ["1.png", "2.png"])
    refused(tmp_path, "Test", "no train")


def test_two_folders_for_one_part(tmp_path: Path) -> None:
    for part in ("train", "Train"):
        fill(tmp_path / part / "a", ["1.png", "2.png"])
    refused(tmp_path, "both Train and train")


def test_a_folder_above_the_parts(tmp_path: Path) -> None:
    fill(tmp_path / "data" / "train" / "a", ["1.png", "2.png"])
    refused(tmp_path, f"give {tmp_path / 'data'}")


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan"), "half", True])
def test_a_test_part_out_of_range(root: Path, share: object) -> None:
    refused(root, "the test part must be a share", test_part=share)


def test_a_test_part_beside_a_test_folder(tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path / part / "a", ["1.png", "2.png"])
    refused(tmp_path, str(tmp_path / "test"), "leave --test-part out", test_part=0.3)


def test_a_test_part_of_a_dataset_that_has_its_own() -> None:
    with pytest.raises(InputError, match="fashion-mnist-sample has its own test part"):
        load_dataset("fashion-mnist-sample", test_part=0.2)


def test_the_command_says_once_what_is_held_out(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Refused after the data is read: this is about the line before.
    arguments = ["distill", "--dataset", f"imagefolder:{root}", "--out", str(tmp_path / "set"), "--test-part", "0.5"]
    assert run([*arguments, "--method", "nothing"]) == 2
    told = f"gsdd-rt: {root}: trains on 6 images, tests on 6 images held out of them, 50 % of each class (--test-part)"
    first, second = capsys.readouterr().err.splitlines()
    assert first == told
    assert "nothing" in second


@pytest.mark.parametrize(("folder", "words"), [("train", "is in train but not in test"), ("test", "is in test")])
def test_classes_that_differ_between_parts(tmp_path: Path, folder: str, words: str) -> None:
    for part in ("train", "test"):
        fill(tmp_path / part / "a", ["1.png"])
    fill(tmp_path / folder / "b", ["1.png"])
    refused(tmp_path, "class b", words)


def test_sizes_that_differ_ask_for_a_size(root: Path) -> None:
    fill(root / "dog", ["9.png"], size=(5, 5))
    refused(root, str(root / "dog" / "9.png"), "5x5", "6x8", "--size HxW")
    assert load(root, size=(5, 5)).height == 5


def test_a_file_that_is_no_image(root: Path) -> None:
    (root / "cat" / "2.png").write_bytes(b"<html>")
    refused(root, str(root / "cat" / "2.png"), "no image")
    (root / "cat" / "2.png").write_bytes(b"")
    refused(root, str(root / "cat" / "2.png"), "no image")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tif", "webp", "ppm"])
def test_a_truncated_image(root: Path, suffix: str) -> None:
    path = root / "cat" / f"9.{suffix}"
    pixels(1, (60, 80)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(root, str(path), size=(6, 8))


def test_corrupt_pixels(root: Path) -> None:
    path = root / "cat" / "2.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refused(root, str(path), "damaged")


def test_what_pillow_logs_of_damage_is_not_a_second_line(root: Path) -> None:
    path = root / "cat" / "2.tif"
    pixels(1).save(path)
    data = path.read_bytes()
    tag = struct.pack("<HH", 277, 3)
    at = data.index(tag) + 8
    path.write_bytes(data[:at] + struct.pack("<H", 2048) + data[at + 2 :])
    script = (
        "from gsdd_runtime.datasets import load_dataset\n"
        f"try: load_dataset('imagefolder:{root}', size=(6, 8))\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert str(path) in done.stdout
    assert done.stderr == ""


def test_a_broken_link(root: Path) -> None:
    (root / "cat" / "2.png").unlink()
    (root / "cat" / "2.png").symlink_to(root / "nowhere.png")
    refused(root, str(root / "cat" / "2.png"), "No such file")


def test_an_image_that_unpacks_to_far_too_much(root: Path) -> None:
    """A PNG header that says 60000x60000: refused before memory is sized from it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (10_000, 60_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        (root / "cat" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
        refused(root, str(root / "cat" / "2.png"), "89478485", size=(6, 8))


def test_a_program_in_an_image_file_is_not_run(root: Path) -> None:
    """PostScript would go to an interpreter: only picture formats are reachable, whatever the name says."""
    buffer = io.BytesIO()
    pixels(1).save(buffer, format="EPS")
    (root / "cat" / "2.png").write_bytes(buffer.getvalue())
    refused(root, str(root / "cat" / "2.png"), "no image")


def test_pixels_of_floating_point(root: Path) -> None:
    Image.fromarray(np.zeros((6, 8), dtype=np.float32)).save(root / "cat" / "2.tif")
    refused(root, str(root / "cat" / "2.tif"), "floating-point", "8 bits")


def test_colours_of_floating_point(root: Path) -> None:
    path = root / "cat" / "2.tif"
    path.write_bytes(float_tiff())
    refused(root, str(path), "floating-point", "8 bits")
    path.write_bytes(float_tiff()[:40])
    refused(root, str(path), "no image that can be read")


def float_tiff() -> bytes:
    """One pixel of three float32 channels, which Pillow does not know."""
    short, long = 3, 4
    tags = [
        (256, short, 1, 1), (257, short, 1, 1), (258, short, 3, 200), (259, short, 1, 1), (262, short, 1, 2),
        (273, long, 1, 250), (277, short, 1, 3), (278, short, 1, 1), (279, long, 1, 12), (339, short, 3, 220),
    ]  # fmt: skip
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    head += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"".join(
        (head.ljust(200, b"\0"), struct.pack("<3H", 32, 32, 32).ljust(20, b"\0"),
         struct.pack("<3H", 3, 3, 3).ljust(30, b"\0"), struct.pack("<3f", 0.0, 0.5, 1.0))
    )  # fmt: skip


def test_gray_beyond_16_bits(root: Path) -> None:
    Image.fromarray(np.full((6, 8), 70000, dtype=np.int32)).save(root / "cat" / "2.tif")
    refused(root, str(root / "cat" / "2.tif"), "beyond 16 bits", "8 bits")


def test_more_than_the_memory_of_the_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "UNASKED_BYTES", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 40_000)
    refused(root, "40.0 kB of memory are free", "--size", size=(100, 100))


def test_a_class_name_that_is_no_text(root: Path) -> None:
    os.mkdir(os.fsencode(root) + b"/\xff")
    refused(root, "not valid Unicode")


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_channels_out_of_range(root: Path, channels: int) -> None:
    with pytest.raises(InputError, match="1 or 3"):
        load_image_folder(root, channels=channels)
