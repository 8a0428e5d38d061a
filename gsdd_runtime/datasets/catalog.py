"""What datasets there are: what each needs, its size and classes, its terms, its published statistics."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gsdd_runtime.datasets.cifar import load_cifar
from gsdd_runtime.datasets.fashion_mnist import FASHION_FINGERPRINT, load_fashion_mnist, load_mnist, load_sample
from gsdd_runtime.datasets.imagenet import load_imagenet
from gsdd_runtime.datasets.real_data import RealData
from gsdd_runtime.datasets.svhn import load_svhn
from gsdd_runtime.datasets.tiny_imagenet import load_tiny_imagenet
from gsdd_runtime.progress import Reporter

FOLDER = "imagefolder:"


@dataclass(frozen=True)
class Request:
    """What is asked of a reader; what follows ``progress`` of those alone that read pictures."""

    data_dir: str | os.PathLike[str] | None
    size: tuple[int, int] | None
    progress: Reporter
    classes: str | Sequence[str] | None = None
    resize: str = "cover"
    cache: bool = True


Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Dataset:
    """One that is known by name.

    Attributes:
        load: the reader.
        needs: what has to be there, in words; empty for what is in the package.
        classes, images, size, channels: of the whole of it; ``images`` to train and to test on, ``size`` None where
            they are of many.
        terms: under which it comes, as far as its authors say.
        published: mean and std, a number a channel in pixel units, as the field's repositories print them, whatever the
            true ones are.
        pictures: whether it is read from files of pictures.
        fingerprint: of the whole of it at its own size, where that is known.
    """

    load: Callable[[Request], RealData]
    needs: str
    classes: int
    images: tuple[int, int]
    size: tuple[int, int] | None
    channels: int
    terms: str
    published: Statistics
    pictures: bool = False
    fingerprint: str | None = None


# get_dataset of VICO-UoE/DatasetCondensation (utils.py, 53f63a6), which the others took over.
_FASHION: Statistics = ((0.2861,), (0.3530,))
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_ARCHIVE = "the official archive, binary or Python, packed or unpacked"
_IDX = "the four official IDX files, packed or not"
_RESEARCH = "for research; no licence stated"

DATASETS: dict[str, Dataset] = {
    "fashion-mnist-sample": Dataset(
        lambda asked: load_sample(asked.size, asked.progress),
        "", 10, (6_000, 1_000), (28, 28), 1, "MIT, Zalando SE", _FASHION,
    ),
    "fashion-mnist": Dataset(
        lambda asked: load_fashion_mnist(asked.data_dir, asked.size, asked.progress),
        _IDX, 10, (60_000, 10_000), (28, 28), 1, "MIT, Zalando SE", _FASHION, fingerprint=FASHION_FINGERPRINT,
    ),
    "mnist": Dataset(
        lambda asked: load_mnist(asked.data_dir, asked.size, asked.progress),
        _IDX, 10, (60_000, 10_000), (28, 28), 1, "CC BY-SA 3.0, LeCun and Cortes", ((0.1307,), (0.3081,)),
    ),
    "svhn": Dataset(
        lambda asked: load_svhn(asked.data_dir, asked.size, asked.progress),
        "train_32x32.mat and test_32x32.mat (format 2)", 10, (73_257, 26_032), (32, 32), 3,
        "for non-commercial use", ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    ),
    "cifar10": Dataset(
        lambda asked: load_cifar("cifar10", asked.data_dir, asked.size, asked.progress),
        _ARCHIVE, 10, (50_000, 10_000), (32, 32), 3, _RESEARCH, ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        fingerprint="sha256-sorted:51f17b50e95234a11f9d75d33b4fd86a99cd774a172bd99f5d96d074eed6b7fe",
    ),
    "cifar100": Dataset(
        lambda asked: load_cifar("cifar100", asked.data_dir, asked.size, asked.progress),
        _ARCHIVE, 100, (50_000, 10_000), (32, 32), 3, _RESEARCH, ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    ),
    "tiny-imagenet": Dataset(
        lambda asked: load_tiny_imagenet(
            asked.data_dir, asked.size, asked.progress,
            classes=asked.classes, resize=asked.resize, cache=asked.cache,
        ),
        "tiny-imagenet-200.zip, packed or unpacked", 200, (100_000, 10_000), (64, 64), 3,
        "ImageNet's: for non-commercial research", IMAGENET, pictures=True,
    ),
    "imagenet": Dataset(
        lambda asked: load_imagenet(
            asked.data_dir, asked.size, asked.progress,
            classes=asked.classes, resize=asked.resize, cache=asked.cache,
        ),
        "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz, or train and val unpacked",
        1000, (1_281_167, 50_000), None, 3, "for non-commercial research", IMAGENET, pictures=True,
    ),
}  # fmt: skip
