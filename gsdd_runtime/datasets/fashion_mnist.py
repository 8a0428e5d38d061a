"""Fashion-MNIST, the sample of it in the package, and MNIST: four IDX files of the same names and sizes."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from gsdd_runtime.datasets.idx import read_idx
from gsdd_runtime.datasets.real_data import RealData, resized
from gsdd_runtime.datasets.statistics import fingerprint
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

DIGITS = tuple("0123456789")
# Of the whole, whichever of the two datasets it is taken for.
FASHION_FINGERPRINT = "sha256-sorted:4cbbce9b7f5b7af60692e6a3bd8f06d39dec6685c4d8246e1301e0d8fbb1f7ce"

_WHERE = {
    "Fashion-MNIST": "the four official files are in the repository zalandoresearch/fashion-mnist on GitHub "
    "(data/fashion) and in Debian's package dataset-fashion-mnist (/usr/share/datasets/fashion-mnist)",
    "MNIST": "the four official files are at http://yann.lecun.com/exdb/mnist and at "
    "https://ossci-datasets.s3.amazonaws.com/mnist",
}


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
    return _load("fashion-mnist", _folder("fashion-mnist", "Fashion-MNIST", data_dir), size, progress)


def load_mnist(
    data_dir: str | os.PathLike[str] | None, size: tuple[int, int] | None = None, progress: Reporter = silent
) -> RealData:
    """MNIST from its four official IDX files in ``data_dir``, gzip-compressed or not.

    Raises:
        InputError: as :func:`load_fashion_mnist`; or the files are those of Fashion-MNIST.
    """
    folder = _folder("mnist", "MNIST", data_dir)
    data = _load("mnist", folder, size, progress, "MNIST", DIGITS)
    if size in (None, (SIDE, SIDE)) and replaced_names(data, CLASS_NAMES) == FASHION_FINGERPRINT:
        raise InputError(f"{folder} holds Fashion-MNIST: name it fashion-mnist, or give the folder of MNIST")
    return data


def replaced_names(data: RealData, class_names: tuple[str, ...]) -> str:
    """The fingerprint that data would have if its classes had other names."""
    train, test = (data.train_images, data.train_labels), (data.test_images, data.test_labels)
    return fingerprint(train, test, class_names)


def _folder(name: str, title: str, data_dir: str | os.PathLike[str] | None) -> Path:
    if data_dir is None:
        raise InputError(f"{name} needs the folder of its files (--data-dir DIR); {_WHERE[title]}")
    folder = Path(data_dir)
    if not folder.is_dir():
        raise InputError(f"the folder {folder} does not exist: give the one with the files of {title}; {_WHERE[title]}")
    return folder


def _load(
    name: str,
    folder: Path,
    size: tuple[int, int] | None,
    progress: Reporter,
    title: str = "Fashion-MNIST",
    class_names: tuple[str, ...] = CLASS_NAMES,
) -> RealData:
    train = read_part(folder, "train", title)
    test = read_part(folder, "test", title)
    if size is not None:
        train = (resized(train[0], size), train[1])
        test = (resized(test[0], size), test[1])
    return RealData.of(name, train, test, class_names, progress=progress)


def read_part(folder: Path, part: str, title: str = "Fashion-MNIST") -> tuple[Tensor, Tensor]:
    """Images uint8 ``[M, 1, 28, 28]`` and labels int64 ``[M]`` of ``"train"`` or ``"test"``, checked."""
    image_file = _find(folder, FILES[f"{part} images"], title)
    label_file = _find(folder, FILES[f"{part} labels"], title)
    images = read_idx(image_file, 3)
    labels = read_idx(label_file, 1)
    if tuple(images.shape[1:]) != (SIDE, SIDE):
        raise InputError(
            f"{image_file}: {title} images are {SIDE}x{SIDE}, these are "
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
            f"{label_file}: label {int(labels.max())} is out of range, {title} has classes 0 to "
            f"{len(CLASS_NAMES) - 1}: is it another dataset's file?"
        )
    return images.unsqueeze(1), labels.long()


def _find(folder: Path, name: str, title: str) -> Path:
    # Some mirrors have a dot where the official names have a hyphen.
    for candidate in (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    raise InputError(f"{folder} holds neither {name} nor {name}.gz; {_WHERE[title]}")
