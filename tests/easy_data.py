"""Small real data that a network learns in a few steps, and sets made from it, without native code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.sets.distilled_set import DistilledSet

SIDE = 8
CLASSES = 3


def easy_images(count: int, channels: int, seed: int) -> tuple[Tensor, Tensor]:
    """uint8 images ``[count, channels, 8, 8]``: a bright row at 1, 3 or 5 by class, over noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = torch.randint(0, 60, (count, channels, SIDE, SIDE), generator=generator)
    for index, label in enumerate(labels.tolist()):
        images[index, :, 2 * label + 1] += 150
    return images.to(torch.uint8), labels


def easy_data(channels: int = 1, **changes: Any) -> RealData:
    """30 training and 24 test images of three classes."""
    fields: dict[str, Any] = {
        "name": "easy",
        "train": easy_images(30, channels, 1),
        "test": easy_images(24, channels, 2),
        "class_names": ("top", "middle", "bottom"),
    }
    return RealData.of(**{**fields, **changes})


def easy_set(data: RealData, count: int = 9, **changes: Any) -> DistilledSet:
    """The first training images of ``data`` as a pixel set."""
    fields: dict[str, Any] = {"class_names": data.class_names, "mean": data.mean, "std": data.std}
    return DistilledSet(
        None,
        changes.pop("labels", data.train_labels[:count]),
        data.height,
        data.width,
        pixels=(data.train_images[:count].float() / 255).to(torch.bfloat16),
        **{**fields, **changes},
    )


def folder_of(data: RealData, root: Path) -> str:
    """Writes gray ``data``, its classes in the order of their names, as folders of images; returns the dataset."""
    parts = (("train", data.train_images, data.train_labels), ("test", data.test_images, data.test_labels))
    for part, images, labels in parts:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = root / part / data.class_names[int(label)]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(folder / f"{index:03}.png")
    return f"imagefolder:{root}"
