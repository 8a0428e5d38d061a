"""Folders of images as people have them: odd orders, missing classes, kinds of picture, damage, odd names, links."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import check_refused

import gsdd_runtime as gsdd
from gsdd_runtime.commands.cli import run
from gsdd_runtime.datasets import RealData, images, load_dataset
from gsdd_runtime.datasets.images import read_image
from gsdd_runtime.errors import InputError
from gsdd_runtime.evaluation.baselines import random_real_set

FAST: dict[str, Any] = {"network": "convnet1-w4", "epochs": 2, "repeats": 1, "device": "cpu"}
SHORT: dict[str, Any] = {"network": "convnet1-w4", "iterations": 2, "gpc": 1, "device": "cpu"}


def load(root: Path, **options: object) -> RealData:
    return load_dataset(f"imagefolder:{root}", **options)  # type: ignore[arg-type]


def noise(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def folder(root: Path, classes: list[str], parts: tuple[str, ...] = ("train", "test"), count: int = 2) -> Path:
    for part in parts:
        for number, name in enumerate(classes):
            place = root / part / name
            place.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                noise(100 * number + index).save(place / f"{index}.png")
    return root


def refused(root: Path, *words: str, **options: object) -> None:
    check_refused(lambda: load(root, **options), *words)


# Classes


def test_numbered_classes_of_another_order_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path / "data", ["0", "1", "10", "2"])
    data = load(root)
    assert data.class_names == ("0", "1", "10", "2")
    numbered = load(root, classes="0,1,2,10")
    path = tmp_path / "set.safetensors"
    random_real_set(numbered, per_class=1).save(path)
    words = ["eval", str(path), "--dataset", f"imagefolder:{root}", "--epochs", "1", "--repeats", "1"]
    assert run([*words, "--network", "mlp"]) == 2
    assert "class 2 is '2' in the set and '10' in imagefolder:" in capsys.readouterr().err
    assert run([*words, "--network", "mlp", "--classes", "0,1,2,10"]) == 0


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_class_that_one_part_lacks(part: str, empty: bool, tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat", "dog"])
    for file in (root / part / "dog").iterdir():
        file.unlink()
    if empty:
        refused(root, str(root / part / "dog"), "holds no image")
    else:
        (root / part / "dog").rmdir()
        refused(root, "class dog", f"not in {part}")
    # What is asked for is all that has to be there.
    assert load(root, classes="cat").class_names == ("cat",)


def test_a_class_of_one_image(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat", "dog"])
    (root / "train" / "dog" / "1.png").unlink()
    data = load(root)
    assert data.train_labels.tolist() == [0, 0, 1]
    assert len(gsdd.distill(data, representation="pixels", **SHORT)) == 2
    with pytest.raises(InputError, match=r"class 'dog' of .* has 1 training image, fewer than the 2"):
        gsdd.distill(data, representation="pixels", **{**SHORT, "gpc": 2})
    with pytest.raises(InputError, match=r"dog .*1 training image, 2 are needed"):
        random_real_set(data, per_class=2)


@pytest.mark.parametrize("value", [0, 255, 130])
def test_images_that_are_all_alike(value: int, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(5):
            Image.new("RGB", (8, 8), (value,) * 3).save(tmp_path / name / f"{index}.png")
    for options in ({}, {"zca": True}):
        data = load(tmp_path, **options)
        assert data.std == (1.0, 1.0, 1.0)
        for representation in ("pixels", "gaussians"):
            fit = {"fit_steps": 2} if representation == "gaussians" else {}
            distilled = gsdd.distill(data, representation=representation, **SHORT, **fit)
            assert distilled.decode(normalize=True).isfinite().all()
            result = gsdd.evaluate(distilled, data, **FAST)
            assert math.isfinite(result.repeats[0].loss)
            # The answer to all of them is one class.
            assert result.last_epoch_mean == 0.5


# Kinds of picture

GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def palette_with_a_hole() -> Image.Image:
    """Entries 200, 100, 50 and, where it is transparent, 0, 0, 0."""
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    picture.putpixel((0, 0), 0)
    picture.info["transparency"] = 0
    return picture


def animation(path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 250, 0))
    first.save(path, save_all=True, append_images=[second])


def pixel(path: Path, channels: int = 3, at: tuple[int, int] = (0, 0)) -> list[int]:
    return read_image(path, (8, 8), channels)[:, at[0], at[1]].tolist()


def test_every_mode_is_read_as_it_is_seen(tmp_path: Path) -> None:
    half = Image.new("RGBA", (8, 8), (200, 100, 0, 51))
    cases: list[tuple[str, Image.Image, list[int]]] = [
        ("L.png", Image.new("L", (8, 8), 77), [77] * 3),
        ("1.png", Image.new("1", (8, 8), 1), [255] * 3),
        ("LA.png", Image.new("LA", (8, 8), (0, 0)), [255] * 3),
        ("LA half.png", Image.new("LA", (8, 8), (100, 51)), [224] * 3),
        ("RGBA.png", half, [244, 224, 204]),
        ("P.png", palette_with_a_hole(), [255] * 3),
        ("16.png", Image.fromarray(np.full((8, 8), 0x80FF, np.uint16)), [0x80] * 3),
        ("16.tif", Image.fromarray(np.full((8, 8), 0x7F01, np.uint16)), [0x7F] * 3),
        ("CMYK.tif", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), [255, 0, 0]),
        ("LAB.tif", Image.new("LAB", (8, 8), (255, 128, 128)), [255] * 3),
    ]
    for name, picture, expected in cases:
        picture.save(tmp_path / name, **({"transparency": 0} if name == "P.png" else {}))
        assert np.allclose(pixel(tmp_path / name), expected, atol=2), name
    assert pixel(tmp_path / "P.png", at=(4, 4)) == [200, 100, 50]
    assert pixel(tmp_path / "RGBA.png", channels=1) == [round(0.299 * 244 + 0.587 * 224 + 0.114 * 204)]
    for suffix in ("gif", "png", "webp", "tif"):
        animation(tmp_path / f"animated.{suffix}")
        assert np.allclose(pixel(tmp_path / f"animated.{suffix}"), [250, 0, 0], atol=4), suffix


def test_a_folder_of_every_mode_is_one_dataset(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    pictures = [noise(1), noise(2).convert("L"), noise(3).convert("RGBA"), noise(4).convert("P"), noise(5).convert("1")]
    for index, picture in enumerate(pictures):
        picture.save(tmp_path / "a" / f"{index}.png")
    noise(6).convert("CMYK").save(tmp_path / "a" / "5.jpg")
    animation(tmp_path / "a" / "6.gif")
    assert load(tmp_path, test_part=0).train_images.shape == (7, 3, 8, 8)


# JPEG at a part of its size


def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = Image.fromarray(np.add.outer(np.arange(160), np.arange(240)).astype(np.float64).clip(0, 255).astype("u1"))
    path = tmp_path / "large.jpg"
    smooth.convert("RGB").save(path, quality=95)
    seen: list[tuple[int, int]] = []
    honest = images.as_shown

    def watched(image: Image.Image, *arguments: Any) -> torch.Tensor:
        seen.append(image.size)
        return honest(image, *arguments)

    monkeypatch.setattr(images, "as_shown", watched)
    fast = [read_image(path, (20, 20), 3, resize) for resize in ("cover", "squash")]
    # A quarter: an eighth would be 30x20, less than twice the size.
    assert seen == [(60, 40)] * 2
    read_image(path, (50, 50), 3)
    assert seen[-1] == (240, 160)
    monkeypatch.setattr(images, "_draft", lambda *_: None)
    for resize, drafted in zip(("cover", "squash"), fast, strict=True):
        whole = read_image(path, (20, 20), 3, resize)
        # Worst seen: 3.
        assert (whole.int() - drafted.int()).abs().max() <= 5


def test_a_turned_jpeg_is_decoded_large_enough(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(1, (64, 512)).save(tmp_path / "turned.jpg", exif=exif)
    with Image.open(tmp_path / "turned.jpg") as image:
        images._draft(image, (64, 8))
        # Upright it is 64 wide and 512 high, and to be 8 wide and 64 high.
        assert image.size == (128, 16)


# Damage


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "JPG", "webp"])
@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><html><body>404 Not Found</body></html>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", bytes(500)],
    ids=["empty", "html", "start of a jpeg", "start of a png", "zeros"],
)
def test_files_that_are_no_pictures(suffix: str, content: bytes, tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat", "dog"])
    path = root / "train" / "cat" / f"9.{suffix}"
    path.write_bytes(content)
    refused(root, str(path), "repair or remove it")
    refused(root, str(path), size=(4, 4), channels=3)


def test_a_picture_too_large_to_be_read_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path, ["cat", "dog"])
    path = root / "train" / "dog" / "0.png"
    noise(1, (9, 12)).save(path)
    monkeypatch.setattr(images, "MAX_IMAGE_PIXELS", 100)
    refused(root, f"{path} has 12x9 pixels, at most 100 are read: shrink it first")
    refused(root, str(path), "shrink it first", size=(4, 4))


# Names


def test_names_of_every_alphabet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["Ätna & Söhne", "a b  c", "кошка", "猫", "قط", "🐈", "'quoted' \"twice\"", "-x", "--out", "50%", "a,b"]
    root = folder(tmp_path / "my data, (1)", names)
    noise(3).save(root / "train" / "猫" / "ein bild ü.png")
    data = load(root)
    assert data.class_names == tuple(sorted(names))
    out = tmp_path / "ein set ü.safetensors"
    words = ["distill", "--dataset", f"imagefolder:{root}", "--out", str(out), "--representation", "pixels"]
    assert run([*words, "--iterations", "1", "--network", "mlp", "--gpc", "1", "--device", "cpu"]) == 0
    assert gsdd.DistilledSet.load(out).class_names == data.class_names
    capsys.readouterr()
    # Of a list, a class with a comma in its name comes from a file.
    (tmp_path / "list").write_text("a,b\n猫\n", encoding="utf-8")
    assert load(root, classes=str(tmp_path / "list")).class_names == ("a,b", "猫")
    assert load(root, classes=["50%", "a,b"]).class_names == ("50%", "a,b")


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb", "a\u202eb"])
def test_names_that_a_terminal_would_obey(name: str, tmp_path: Path) -> None:
    refused(folder(tmp_path, ["cat", name]), "control character")


# Links


def test_links_in_circles(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat", "dog"])
    expected = load(root)
    (root / "train" / "self").symlink_to("self")
    (root / "train" / "one").symlink_to("two")
    (root / "train" / "two").symlink_to("one")
    (root / "train" / "up").symlink_to("..", target_is_directory=True)
    (root / "train" / "here").symlink_to(".", target_is_directory=True)
    (root / "train" / "cat" / "again").symlink_to("..", target_is_directory=True)
    (root / "train" / "cat" / "here").symlink_to(".", target_is_directory=True)
    assert load(root).fingerprint == expected.fingerprint
    (root / "train" / "cat" / "round.png").symlink_to("round.png")
    refused(root, "round.png", "symbolic links")


def test_a_pipe_among_the_images_does_not_hang(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat", "dog"])
    os.mkfifo(root / "train" / "cat" / "pipe.png")
    refused(root, "pipe.png", "no ordinary file")


def test_permissions_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path, ["cat", "dog"])
    honest: Callable[..., Any] = Path.open

    def forbidden(path: Path, *arguments: Any, **options: Any) -> Any:
        if str(path).endswith("cat/1.png"):
            raise PermissionError(13, "Permission denied")
        return honest(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    refused(root, "cat/1.png: Permission denied")
