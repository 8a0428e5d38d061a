"""A folder of folders of images as real data; docs/file-format.md, "Folders of images", states the rules.

Memory: one byte a pixel and channel of the result, and a few decoded files at a time.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from gsdd_runtime.datasets.images import SUFFIXES, ImageHeader, read_header, read_image
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.checks import check_text

TEST_FOLDERS = ("test", "val")
# Every so many-th image of a class, by sorted name, is held out where there is no test folder.
HOLD_OUT = 5
_READERS = min(8, os.cpu_count() or 1)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def load_image_folder(
    folder: str | os.PathLike[str], size: tuple[int, int] | None = None, channels: int | None = None
) -> RealData:
    """Reads ``DIR/train/<class>/*`` with ``DIR/test`` or ``DIR/val`` beside it, or ``DIR/<class>/*``.

    Without a test folder, every fifth image of a class, by sorted name, is the test part; of a class with
    fewer than five images, the last.

    Args:
        folder: DIR.
        size: ``(height, width)``: images are scaled until they cover it, and cut to it around their centre.
        channels: 1 or 3; left out, 1 if every file is stored as gray, else 3.

    Raises:
        InputError: no folder, no class, a class without an image, a file that is no whole image, images of
            different sizes and no ``size``, more than the machine's memory.
    """
    root = Path(folder)
    if channels not in (None, 1, 3):
        raise InputError(f"channels must be 1 or 3, got {channels}")
    if not root.is_dir():
        raise InputError(
            f"the folder {root} does not exist or is no folder: give one with a folder of images for each class"
        )
    class_names, train_files, test_files = _find_files(root)
    every_file = [path for files in (*train_files, *test_files) for path in files]
    with warnings.catch_warnings():
        # Pillow warns of broken metadata beside sound pixels.
        warnings.simplefilter("ignore")
        headers = _in_order(lambda path: read_header(path, upright=size is None), every_file)
        channels = channels or (1 if all(header.gray for header in headers) else 3)
        size = size or _common_size(every_file, headers)
        _check_memory(len(every_file), channels, size)
        train = _read_part(train_files, size, channels)
        test = _read_part(test_files, size, channels)
    return RealData.of(f"imagefolder:{root}", train, test, class_names)


def _find_files(root: Path) -> tuple[tuple[str, ...], list[list[Path]], list[list[Path]]]:
    """Class names, and a list of image files a class for training and for testing."""
    train_root = root / "train"
    if not (train_root.is_dir() and _class_folders(train_root, root)):
        classes = _class_folders(root, root)
        if not classes:
            raise InputError(f"{root} holds no folder of images: make one folder a class, named as the class")
        return _split(tuple(classes), [_images_of(path) for path in classes.values()])
    classes = _class_folders(train_root, root)
    train_files = [_images_of(path) for path in classes.values()]
    for name in TEST_FOLDERS:
        if not (root / name).is_dir():
            continue
        test_classes = _class_folders(root / name, root)
        if not test_classes:
            continue
        if set(test_classes) != set(classes):
            odd = sorted(set(test_classes) ^ set(classes))[0]
            here, missing = (name, "train") if odd in test_classes else ("train", name)
            raise InputError(f"{root}: class {odd} is in {here} but not in {missing}: both need the same folders")
        return tuple(classes), train_files, [_images_of(test_classes[key]) for key in classes]
    return _split(tuple(classes), train_files)


def _class_folders(folder: Path, root: Path) -> dict[str, Path]:
    """The folders in ``folder`` by sorted name, without hidden ones and links to a folder above."""
    above = {root.resolve(), *root.resolve().parents, folder.resolve()}
    found: dict[str, Path] = {}
    for name in sorted(_listed(folder)):
        path = folder / name
        if name.startswith(".") or not path.is_dir() or (path.is_symlink() and path.resolve() in above):
            continue
        check_text(str(folder), "a class folder's name", name)
        found[name] = path
    return found


def _images_of(folder: Path) -> list[Path]:
    """Image files in a class folder and the folders in it, by sorted path. Follows no link to a folder."""

    def fail(error: OSError) -> None:
        raise InputError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    files = []
    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(place, name) for name in names if not name.startswith(".") and name.lower().endswith(SUFFIXES)]
    if not files:
        raise InputError(f"the class folder {folder} holds no image ({' '.join(SUFFIXES)}): fill it or remove it")
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def _split(
    class_names: tuple[str, ...], files: list[list[Path]]
) -> tuple[tuple[str, ...], list[list[Path]], list[list[Path]]]:
    train, test = [], []
    for name, paths in zip(class_names, files, strict=True):
        if len(paths) < 2:
            raise InputError(
                f"class {name} has one image ({paths[0]}): at least one to train on and one to test on are needed"
            )
        held_out = set(paths[HOLD_OUT - 1 :: HOLD_OUT]) or {paths[-1]}
        train.append([path for path in paths if path not in held_out])
        test.append([path for path in paths if path in held_out])
    return class_names, train, test


def _in_order(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """``function`` of each item, on several threads; of several that fail, the first item's exception."""
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _common_size(paths: list[Path], headers: list[ImageHeader]) -> tuple[int, int]:
    first = headers[0].size
    for path, header in zip(paths, headers, strict=True):
        if header.size != first:
            raise InputError(
                f"{path} is {header.size[0]}x{header.size[1]} pixels, {paths[0]} is {first[0]}x{first[1]}: "
                "give the size that all are scaled to (--size HxW)"
            )
    return first


def _check_memory(images: int, channels: int, size: tuple[int, int]) -> None:
    needed = images * channels * size[0] * size[1]
    if needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise InputError(
            f"{images} images of {size[0]}x{size[1]} take {needed / 1e9:.1f} GB, more than this machine has: "
            "give a smaller size (--size HxW)"
        )


def _read_part(files: list[list[Path]], size: tuple[int, int], channels: int) -> tuple[Tensor, Tensor]:
    paths = [path for class_files in files for path in class_files]
    labels = torch.tensor([label for label, class_files in enumerate(files) for _ in class_files], dtype=torch.int64)
    images = torch.empty(len(paths), channels, *size, dtype=torch.uint8)

    def read(index: int) -> None:
        images[index] = read_image(paths[index], size, channels)

    _in_order(read, range(len(paths)))
    return images, labels
