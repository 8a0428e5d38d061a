"""What datasets there are: what each needs, its size and classes, its terms, its published statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gsdd_runtime.datasets import cifar, fashion_mnist
from gsdd_runtime.datasets.real_data import RealData

FOLDER = "imagefolder:"


@dataclass(frozen=True)
class Dataset:
    """One that is known by name.

    Attributes:
        load: of ``(data_dir, size, progress)``, ``data_dir`` None where it is in the package.
        needs: what has to be there, in words.
        classes, images, size, channels: of the whole of it; ``images`` to train and to test on.
        terms: under which it comes.
        mean, std: a number a channel in pixel units, as the field's repositories print them, whatever the true ones
            are; None where there are none.
    """

    load: Callable[..., RealData]
    needs: str
    classes: int
    images: tuple[int, int]
    size: tuple[int, int]
    channels: int
    terms: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def embedded(self) -> bool:
        return not self.needs


def _cifar(name: str) -> Callable[..., RealData]:
    return lambda data_dir, size, progress: cifar.load_cifar(name, data_dir, size, progress)


_FASHION_TERMS = "MIT, Zalando SE"
_FASHION_STATISTICS: dict[str, Any] = {"mean": (0.2861,), "std": (0.3530,)}
_CIFAR_TERMS = "no licence stated; cite Krizhevsky 2009"

# Statistics: get_dataset of VICO-UoE/DatasetCondensation (utils.py), which the others took over.
DATASETS: dict[str, Dataset] = {
    "fashion-mnist-sample": Dataset(
        lambda data_dir, size, progress: fashion_mnist.load_sample(size, progress),
        "", 10, (6_000, 1_000), (28, 28), 1, _FASHION_TERMS, **_FASHION_STATISTICS,
    ),
    "fashion-mnist": Dataset(
        lambda data_dir, size, progress: fashion_mnist.load_fashion_mnist(data_dir, size, progress),
        "the four official IDX files, packed or not", 10, (60_000, 10_000), (28, 28), 1, _FASHION_TERMS,
        **_FASHION_STATISTICS,
    ),
    "cifar10": Dataset(
        _cifar("cifar10"),
        "the official archive, binary or Python, packed or unpacked", 10, (50_000, 10_000), (32, 32), 3, _CIFAR_TERMS,
        (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010),
    ),
    "cifar100": Dataset(
        _cifar("cifar100"),
        "the official archive, binary or Python, packed or unpacked", 100, (50_000, 10_000), (32, 32), 3, _CIFAR_TERMS,
        (0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762),
    ),
}  # fmt: skip
