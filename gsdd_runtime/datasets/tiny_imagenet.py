"""Tiny-ImageNet as it is downloaded: 200 classes of WordNet ids, its test part in one folder with a list of classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gsdd_runtime.datasets.archive_listing import open_archive
from gsdd_runtime.datasets.class_choice import choose_classes
from gsdd_runtime.datasets.folder_layout import Layout, count_of, images_of, listed
from gsdd_runtime.datasets.image_folder import read_layout
from gsdd_runtime.datasets.packed import AnyPath
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.progress import Reporter, silent

FOLDER = "tiny-imagenet-200"
ARCHIVES = (f"{FOLDER}.zip", f"{FOLDER}.tar", f"{FOLDER}.tar.gz")
_ANNOTATIONS = "val_annotations.txt"
_MAX_TEXT = 1 << 24
_REMEDY = "fetch or unpack the archive again"
_WHERE = "the official archive is http://cs231n.stanford.edu/tiny-imagenet-200.zip"


def load_tiny_imagenet(
    data_dir: str | os.PathLike[str] | None,
    size: tuple[int, int] | None = None,
    progress: Reporter = silent,
    *,
    classes: str | Sequence[str] | None = None,
    resize: str = "cover",
    cache: bool = True,
) -> RealData:
    """Reads ``train/<id>/images`` and ``val/images`` with ``val_annotations.txt``; classes by id, named in words.

    Args:
        data_dir: the folder ``tiny-imagenet-200``, or its archive, or the folder that either is in.
        size, classes, resize, cache, progress: as
            :func:`gsdd_runtime.datasets.image_folder.load_image_folder` takes them.

    Raises:
        InputError: no folder given, a missing or broken file, lists that do not fit the folders.
    """
    root = _root(data_dir, progress)
    ids = sorted(_lines(root / "wnids.txt"))
    words = dict(line.split("\t", 1) for line in _lines(root / "words.txt") if "\t" in line)
    if classes is None:
        names = _distinct(ids, words)
    else:
        # By id, by folder, or by ImageNet's readable name, as for any folder of such classes.
        chosen = choose_classes(classes, ids, str(root))
        ids, names = [one.key for one in chosen], tuple(one.name for one in chosen)
    train = []
    for wordnet in ids:
        folder = root / "train" / wordnet
        if not folder.is_dir():
            raise InputError(f"{root} lacks train/{wordnet}, which wnids.txt names: {_REMEDY}")
        train.append(images_of(folder))
    test = _test_files(root, ids)
    split = f"{root}: trains on {count_of(train)} of train, tests on {count_of(test)} of val"
    return read_layout(
        "tiny-imagenet", Layout(names, train, test, split), size, 3, resize=resize, cache=cache, progress=progress
    )


def _root(data_dir: str | os.PathLike[str] | None, progress: Reporter) -> AnyPath:
    if data_dir is None:
        raise InputError(f"tiny-imagenet needs the folder of its files (--data-dir DIR); {_WHERE}")
    given = Path(data_dir)
    packed = next(filter(Path.is_file, (given, *(given / name for name in ARCHIVES))), None)
    places: list[AnyPath] = [given, given / FOLDER]
    if packed is not None and not any((place / "wnids.txt").is_file() for place in places):
        archive = open_archive(packed, progress=progress)
        places = [archive, archive / FOLDER]
    for root in places:
        if (root / "wnids.txt").is_file():
            return root
    raise InputError(f"{data_dir} holds no Tiny-ImageNet (wnids.txt, train, val); {_WHERE}")


def _lines(path: AnyPath) -> list[str]:
    try:
        with reading(str(path), f"; {_REMEDY}"), path.open("rb") as file:
            text = file.read(_MAX_TEXT + 1).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: {_REMEDY}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(text) > _MAX_TEXT or not lines:
        raise InputError(f"{path} is {'too long' if lines else 'empty'}: {_REMEDY}")
    return lines


def _distinct(ids: Sequence[str], words: dict[str, str]) -> tuple[str, ...]:
    """The first word for each id, with the id behind it where two have the same."""
    first = [words.get(wordnet, wordnet).split(",")[0].strip() for wordnet in ids]
    return tuple(
        f"{name} ({wordnet})" if first.count(name) > 1 else name for name, wordnet in zip(first, ids, strict=True)
    )


def _test_files(root: AnyPath, ids: Sequence[str]) -> list[list[AnyPath]]:
    """The test images of each class: what the list says of the files that are there."""
    folder = root / "val" / "images"
    annotations = root / "val" / _ANNOTATIONS
    known = set(_lines(root / "wnids.txt"))
    there = set(listed(folder))
    files: dict[str, list[AnyPath]] = {wordnet: [] for wordnet in ids}
    for line in _lines(annotations):
        name, _, rest = line.partition("\t")
        wordnet = rest.split("\t")[0]
        if wordnet not in known:
            raise InputError(f"{annotations} puts {name} in the class {wordnet!a}, which wnids.txt lacks: {_REMEDY}")
        if name not in there:
            raise InputError(f"{folder} lacks {name}, which {_ANNOTATIONS} names: {_REMEDY}")
        if wordnet in files:
            files[wordnet].append(folder / name)
    empty = next((wordnet for wordnet, held in files.items() if not held), None)
    if empty is not None:
        raise InputError(f"{annotations} names no image of the class {empty}: {_REMEDY}")
    return [sorted(held, key=lambda path: path.name) for held in files.values()]
