"""CIFAR-10 and CIFAR-100 from their official archives, packed or unpacked, of binary or pickled files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsdd_runtime.datasets.archives import read_archive
from gsdd_runtime.datasets.plain_pickle import plain_value
from gsdd_runtime.datasets.real_data import RealData, resized
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.wording import counted

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
_REMEDY = "fetch the archive again"
# The largest file is that of CIFAR-100's training part, whose pickle may hold its pixels as text.
_MAX_BYTES = 1 << 28
_WHERE = "the official archives are at https://www.cs.toronto.edu/~kriz/cifar.html"

CIFAR10_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
CIFAR100_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest",
    "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
)  # fmt: skip


@dataclass(frozen=True)
class _Form:
    """One of the two archives of a dataset.

    Attributes:
        folder, archive: what it unpacks to, and its own name.
        train, test: files of images.
        names: the file of the classes' names.
        label: of a binary record, which of its first bytes; of a pickled batch, the key.
        labels: bytes before the pixels of a binary record; 0 for pickled files.
        names_key: of the pickled names.
    """

    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    names: str
    label: int | str
    labels: int = 0
    names_key: str = ""


@dataclass(frozen=True)
class _Kind:
    class_names: tuple[str, ...]
    forms: tuple[_Form, _Form]


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
KINDS = {
    "cifar10": _Kind(
        CIFAR10_NAMES,
        (
            _Form(
                "cifar-10-batches-bin", "cifar-10-binary.tar.gz", tuple(f"{name}.bin" for name in _BATCHES),
                "test_batch.bin", "batches.meta.txt", 0, 1,
            ),
            _Form(
                "cifar-10-batches-py", "cifar-10-python.tar.gz", _BATCHES, "test_batch", "batches.meta", "labels",
                names_key="label_names",
            ),
        ),
    ),
    "cifar100": _Kind(
        CIFAR100_NAMES,
        (
            _Form(
                "cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin",), "test.bin", "fine_label_names.txt", 1, 2
            ),
            _Form(
                "cifar-100-python", "cifar-100-python.tar.gz", ("train",), "test", "meta", "fine_labels",
                names_key="fine_label_names",
            ),
        ),
    ),
}  # fmt: skip


def load_cifar(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    size: tuple[int, int] | None = None,
    progress: Reporter = silent,
) -> RealData:
    """Reads ``cifar10`` or ``cifar100`` (its fine labels), images in the order of their files.

    Args:
        name: the one or the other.
        data_dir: the folder that the archive, or what it unpacks to, is in; or either itself.
        size: ``(height, width)`` that images are scaled to.
        progress: told of the files that were read.

    Raises:
        InputError: nothing of that is there; a file is missing, damaged or holds anything but images and labels;
            labels out of range, or names of other classes.
    """
    kind = KINDS[name]
    if data_dir is None:
        raise InputError(f"{name} needs the folder of its files (--data-dir DIR); {_WHERE}")
    form, files, where = _found(name, kind, Path(data_dir))
    for file in (*form.train, form.test):
        if file not in files:
            raise InputError(f"{where} lacks {file}: {_REMEDY}")
    _check_names(kind, form, files, where)
    parts = []
    for at, file in enumerate((*form.train, form.test), 1):
        parts.append(_batch(form, files.pop(file), f"{where}/{file}", len(kind.class_names)))
        progress(Progress("read files", at, len(form.train) + 1))
    train = torch.cat([images for images, _ in parts[:-1]]), torch.cat([labels for _, labels in parts[:-1]])
    test = parts[-1]
    if size is not None:
        train, test = (resized(train[0], size), train[1]), (resized(test[0], size), test[1])
    return RealData.of(name, train, test, kind.class_names, progress=progress)


def _found(name: str, kind: _Kind, place: Path) -> tuple[_Form, dict[str, bytes], Path]:
    """The form that is there, its files' contents by name, and where they were found."""
    if place.is_file():
        wanted = {f"{form.folder}/{file}": _MAX_BYTES for form in kind.forms for file in _files(form)}
        contents = read_archive(place, wanted)
        for form in kind.forms:
            held = {
                file: contents[f"{form.folder}/{file}"] for file in _files(form) if f"{form.folder}/{file}" in contents
            }
            if held:
                return form, held, place
        raise InputError(f"{place} holds no file of {name}: give its official archive; {_WHERE}")
    if not place.is_dir():
        raise InputError(f"the folder {place} does not exist: give the one with the files of {name}; {_WHERE}")
    for form in kind.forms:
        for folder in (place, place / form.folder):
            if (folder / form.train[0]).is_file() and (folder / form.names).is_file():
                held = {file: _content(folder / file) for file in _files(form) if (folder / file).is_file()}
                return form, held, folder
        if (place / form.archive).is_file():
            return _found(name, kind, place / form.archive)
    choices = ", ".join(f"{form.folder} or {form.archive}" for form in kind.forms)
    raise InputError(f"{place} holds nothing of {name} ({choices}); {_WHERE}")


def _files(form: _Form) -> tuple[str, ...]:
    return (*form.train, form.test, form.names)


def _content(path: Path) -> bytes:
    with reading(path), open(path, "rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path} has more than {_MAX_BYTES} bytes: is it the file its name says?")
    return content


def _check_names(kind: _Kind, form: _Form, files: Mapping[str, bytes], where: Path) -> None:
    """Raises InputError where the file of the names is there and tells of other classes."""
    if form.names not in files:
        return
    source = f"{where}/{form.names}"
    if form.labels:
        names = files[form.names].decode("utf-8", "replace").split()
    else:
        held = _by_text(plain_value(files[form.names], source), source).get(form.names_key)
        if not isinstance(held, list):
            raise InputError(f"{source} lacks {form.names_key}: {_REMEDY}")
        names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in held]
    if tuple(names) != kind.class_names:
        raise InputError(f"{source} names other classes than this dataset has: is it another dataset's archive?")


def _batch(form: _Form, content: bytes, where: str, classes: int) -> tuple[Tensor, Tensor]:
    """Images uint8 ``[M, 3, 32, 32]`` and labels int64 ``[M]`` of one file."""
    if form.labels:
        record = form.labels + _PIXELS
        if not content or len(content) % record:
            raise InputError(f"{where} has {len(content)} bytes, no multiple of {record}: {_REMEDY}")
        records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, record)
        assert isinstance(form.label, int)
        images, labels = records[:, form.labels :].contiguous(), records[:, form.label].long()
    else:
        images, labels = _pickled(_by_text(plain_value(content, where), where), where, str(form.label))
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(
            f"{where}: labels are {int(labels.min())} to {int(labels.max())}, out of range for "
            f"{counted(classes, 'class')}: is it another dataset's file?"
        )
    return images.view(-1, 3, SIDE, SIDE), labels


def _pickled(batch: Mapping[str, Any], where: str, key: str) -> tuple[Tensor, Tensor]:
    data, labels = batch.get("data"), batch.get(key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:
        raise InputError(f"{where}: data must be bytes [images, {_PIXELS}]: {_REMEDY}")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise InputError(f"{where}: {key} must be a list of whole numbers: {_REMEDY}")
    if not len(data) == len(labels) > 0:
        raise InputError(
            f"{where} holds {counted(len(data), 'image')} and {counted(len(labels), 'label')}: "
            f"there must be one for each, and at least one; {_REMEDY}"
        )
    if max(map(abs, labels)) > 1 << 31:
        raise InputError(f"{where}: a label is out of range: {_REMEDY}")
    return torch.from_numpy(np.array(data)), torch.tensor(labels, dtype=torch.int64)


def _by_text(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} holds no dictionary: {_REMEDY}")
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): one for key, one in value.items()}
