"""SVHN, format 2 (cropped digits): ``train_32x32.mat`` and ``test_32x32.mat``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gsdd_runtime.datasets.mat5 import read_mat
from gsdd_runtime.datasets.real_data import RealData, resized
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.wording import counted

CLASS_NAMES = tuple("0123456789")
FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
SIDE = 32
_REMEDY = "fetch the file again"
_WHERE = "the official files (format 2) are at http://ufldl.stanford.edu/housenumbers"


def load_svhn(
    data_dir: str | os.PathLike[str] | None, size: tuple[int, int] | None = None, progress: Reporter = silent
) -> RealData:
    """The cropped digits, without the extra ones. The files call the digit 0 class 10; here it is class 0.

    Raises:
        InputError: no folder given, a missing or broken file.
    """
    if data_dir is None:
        raise InputError(f"svhn needs the folder of its files (--data-dir DIR); {_WHERE}")
    folder = Path(data_dir)
    if not folder.is_dir():
        raise InputError(f"the folder {folder} does not exist: give the one with the files of SVHN; {_WHERE}")
    parts = []
    for done, file in enumerate(FILES.values(), 1):
        if not (folder / file).is_file():
            raise InputError(f"{folder} lacks {file}; {_WHERE}")
        images, labels = _part(folder / file)
        parts.append((images if size is None else resized(images, size), labels))
        progress(Progress("read files", done, len(FILES)))
    return RealData.of("svhn", parts[0], parts[1], CLASS_NAMES, progress=progress)


def _part(path: Path) -> tuple[Tensor, Tensor]:
    arrays = read_mat(path, ("X", "y"))
    for name in ("X", "y"):
        if name not in arrays:
            raise InputError(f"{path} holds no array {name}: is it a file of format 2?")
    images, labels = arrays["X"], arrays["y"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (SIDE, SIDE, 3):
        shape = "x".join(map(str, images.shape))
        raise InputError(f"{path}: X must be bytes {SIDE}x{SIDE}x3xM, it is {images.dtype} {shape}: {_REMEDY}")
    if not labels.size == images.shape[3] > 0:
        raise InputError(
            f"{path} holds {counted(images.shape[3], 'image')} and {counted(labels.size, 'label')}: {_REMEDY}"
        )
    flat = labels.reshape(-1)
    if not (flat.min() >= 1 and flat.max() <= 10 and (flat == np.floor(flat)).all()):
        raise InputError(f"{path}: labels must be 1 to 10: is it another dataset's file?")
    pixels = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    return torch.from_numpy(pixels), torch.from_numpy(flat.astype(np.int64) % 10)
