"""ImageNet-1K as it is downloaded: a tar of tars to train on, a flat one to test on, the classes of that in a kit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gsdd_runtime.datasets.archive_listing import open_archive
from gsdd_runtime.datasets.class_choice import EVERY, choose_classes
from gsdd_runtime.datasets.folder_layout import Layout, count_of, find_layout, images_of
from gsdd_runtime.datasets.image_folder import read_layout
from gsdd_runtime.datasets.mat5 import read_mat_structs
from gsdd_runtime.datasets.packed import AnyPath
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.progress import Reporter, silent

TRAIN, TEST, KIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12"
_TRUTH, _META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
_MAX_TEXT = 1 << 24
_WHERE = f"{TRAIN}, {TEST} and {KIT}.tar.gz are at https://image-net.org, for who signs its terms"
_REMEDY = "fetch it again"


def load_imagenet(
    data_dir: str | os.PathLike[str] | None,
    size: tuple[int, int] | None = None,
    progress: Reporter = silent,
    *,
    classes: str | Sequence[str] | None = None,
    resize: str = "cover",
    cache: bool = True,
) -> RealData:
    """Reads the official archives where they are, or folders ``train/<id>`` and ``val/<id>``; classes by WordNet id.

    Args:
        data_dir: the folder of the three archives (the kit may be unpacked), or the one with ``train`` and ``val``.
        size: ``(height, width)``; needed, as pictures are of many sizes.
        classes, resize, cache, progress: as
            :func:`gsdd_runtime.datasets.image_folder.load_image_folder` takes them.

    Raises:
        InputError: no folder given, a missing or broken file, lists that do not fit the pictures, no size.
    """
    if data_dir is None:
        raise InputError(f"imagenet needs the folder of its files (--data-dir DIR); {_WHERE}")
    root = Path(data_dir)
    if size is None:
        raise InputError("imagenet has pictures of many sizes: give the one that all are scaled to (--size HxW)")
    if (root / TRAIN).is_file():
        layout = _packed_layout(root, EVERY if classes is None else classes, progress)
    elif root.is_dir() and all((root / part).is_dir() for part in ("train", "val")):
        layout = find_layout(root, None, EVERY if classes is None else classes)
    else:
        raise InputError(f"{root} holds no ImageNet ({TRAIN}, or the folders train and val); {_WHERE}")
    return read_layout("imagenet", layout, size, 3, resize=resize, cache=cache, progress=progress)


def _packed_layout(root: Path, classes: str | Sequence[str], progress: Reporter) -> Layout:
    train_root = open_archive(root / TRAIN, nested=True, progress=progress)
    ids = sorted(name for name in train_root.names() if (train_root / name).is_dir())
    chosen = choose_classes(classes, ids, str(train_root))
    if not (root / TEST).is_file():
        raise InputError(f"{root} lacks {TEST}, the pictures to test on; {_WHERE}")
    test_root = open_archive(root / TEST, progress=progress)
    pictures = images_of(test_root)
    truth = _classes_of_test(_kit(root))
    if len(truth) != len(pictures):
        raise InputError(
            f"{test_root} holds {len(pictures)} pictures, {_TRUTH} tells the classes of {len(truth)}: {_REMEDY}"
        )
    train = [images_of(train_root / one.key) for one in chosen]
    by_class: dict[str, list[AnyPath]] = {one.key: [] for one in chosen}
    for picture, wordnet in zip(pictures, truth, strict=True):
        if wordnet in by_class:
            by_class[wordnet].append(picture)
    empty = next((key for key, held in by_class.items() if not held), None)
    if empty is not None:
        raise InputError(f"{_TRUTH} tells of no picture of the class {empty}: {_REMEDY}")
    test = list(by_class.values())
    split = f"{root}: trains on {count_of(train)} of {TRAIN}, tests on {count_of(test)} of {TEST}"
    return Layout(tuple(one.name for one in chosen), train, test, split)


def _kit(root: Path) -> AnyPath:
    if (root / KIT).is_dir():
        return root / KIT / "data"
    archive = root / f"{KIT}.tar.gz"
    if not archive.is_file():
        raise InputError(f"{root} lacks {archive.name}, which tells the classes of {TEST}; {_WHERE}")
    return open_archive(archive) / KIT / "data"


def _classes_of_test(kit: AnyPath) -> list[str]:
    """The WordNet id of each picture to test on, by the order of their names."""
    known = {}
    for synset in read_mat_structs(kit / _META, "synsets", ("ILSVRC2012_ID", "WNID")):
        number, wordnet = synset["ILSVRC2012_ID"], synset["WNID"]
        # No number that is not finite is whole.
        if not isinstance(number, float) or not number.is_integer() or not isinstance(wordnet, str):
            raise InputError(f"{kit / _META}: a class without a whole number or an id: {_REMEDY}")
        known[str(int(number))] = wordnet
    path = kit / _TRUTH
    with reading(str(path)), path.open("rb") as file:
        text = file.read(_MAX_TEXT)
    numbers = text.decode("utf-8", "replace").split()
    odd = next((number for number in numbers if number not in known), None)
    if odd is not None:
        raise InputError(f"{path} tells of the class {odd[:20]!a}, which {_META} lacks: {_REMEDY}")
    return [known[number] for number in numbers]
