"""Fashion-MNIST: the sample in the package, and the whole from its official files."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from gsdd_runtime.datasets.idx import read_idx
from gsdd_runtime.datasets.real_data import RealData, resized
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.splatting.native import installed_file
from gsdd_runtime.wording import counted

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
SIDE = 28
FILES = {
    "train images": "train-images-idx3-ubyte",
    "train labels": "train-labels-idx1-ubyte",
    "test images": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}
SAMPLE_FOLDER = ("data", "fashion-mnist-sample")

_WHERE = (
    "the four official files are in the repository zalandoresearch/fashion-mnist on GitHub (data/fashion) "
    "and in "
    "Debian's package dataset-fashion-mnist (/usr/share/datasets/fashion-mnist)"
)


def load_sample(size: tuple[int, int] | None = None, progress: Reporter = silent) -> RealData:
    """The sample in the package: 600 training and 100 test images a class."""
    labels_file = installed_file(*SAMPLE_FOLDER, FILES["train labels"] + ".gz")
    if labels_file is None:
        raise InputError("the package lacks its fashion-mnist-sample files: install gsdd-rt again")
    return _load("fashion-mnist-sample", labels_file.parent, size, progress)


def load_fashion_mnist(
    data_dir: str | os.PathLike[str] | None, size: tuple[int, int] | None = None, progress: Reporter = silent
) -> RealData:
    """The whole of Fashion-MNIST from the four official IDX files in ``data_dir``, gzip-compressed or not.

    Raises:
        InputError: no folder given, a missing or broken file, files that do not belong together.
    """
    if data_dir is None:
        raise InputError(f"fashion-mnist needs the folder of its files (--data-dir DIR); {_WHERE}")
    folder = Path(data_dir)
    if not folder.is_dir():
        raise InputError(f"the folder {folder} does not exist: give the one with the Fashion-MNIST files; {_WHERE}")
    return _load("fashion-mnist", folder, size, progress)


def _load(name: str, folder: Path, size: tuple[int, int] | None, progress: Reporter) -> RealData:
    train = read_part(folder, "train")
    test = read_part(folder, "test")
    if size is not None:
        train = (resized(train[0], size), train[1])
        test = (resized(test[0], size), test[1])
    return RealData.of(name, train, test, CLASS_NAMES, progress=progress)


def read_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Images uint8 ``[M, 1, 28, 28]`` and labels int64 ``[M]`` of ``"train"`` or ``"test"``, checked."""
    image_file = _find(folder, FILES[f"{part} images"])
    label_file = _find(folder, FILES[f"{part} labels"])
    images = read_idx(image_file, 3)
    labels = read_idx(label_file, 1)
    if tuple(images.shape[1:]) != (SIDE, SIDE):
        raise InputError(
            f"{image_file}: Fashion-MNIST images are {SIDE}x{SIDE}, these are "
            f"{images.shape[1]}x{images.shape[2]}: "
            "is it another dataset's file?"
        )
    if images.shape[0] != labels.shape[0]:
        raise InputError(
            f"{image_file} holds {counted(images.shape[0], 'image')}, {label_file.name} beside it "
            f"{counted(labels.shape[0], 'label')}: "
            "they do not belong together; fetch both again"
        )
    if int(labels.max()) >= len(CLASS_NAMES):
        raise InputError(
            f"{label_file}: label {int(labels.max())} is out of range, Fashion-MNIST has classes 0 to "
            f"{len(CLASS_NAMES) - 1}: is it another dataset's file?"
        )
    return images.unsqueeze(1), labels.long()


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise InputError(f"{folder} holds neither {name} nor {name}.gz; {_WHERE}")
