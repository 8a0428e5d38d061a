"""Real images to fit and to compress: photographs where scikit-image is installed, else Fashion-MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gsdd_runtime.wording import counted

# In the folder `data` of every scikit-image wheel; origins and licences in its docstrings (CC0 or public domain).
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


@dataclass(frozen=True)
class RealImages:
    """Images at any size. ``name`` says what they are; ``originals`` are square RGB or gray."""

    name: str
    originals: tuple[Image.Image, ...]

    def at(self, side: int, channels: int, count: int) -> Tensor:
        """The first ``count`` images (again from the first where there are fewer), uint8 ``[count, C, S, S]``."""
        mode = "L" if channels == 1 else "RGB"
        chosen = [self.originals[k % len(self.originals)] for k in range(count)]
        scaled = [image.convert(mode).resize((side, side), Image.Resampling.LANCZOS) for image in chosen]
        pixels = np.stack([np.asarray(image).reshape(side, side, -1) for image in scaled])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def real_images() -> RealImages:
    """The photographs that scikit-image ships, in four crops each, or else the embedded Fashion-MNIST sample."""
    spec = find_spec("skimage")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        paths = [Path(folder, "data", name) for name in PHOTOGRAPHS]
        if all(path.is_file() for path in paths):
            crops = [crop for quarter in range(4) for crop in (_crop(path, quarter) for path in paths)]
            return RealImages(f"{len(crops)} crops of 4 photographs (scikit-image)", tuple(crops))
    from gsdd_runtime.datasets import load_dataset

    data = load_dataset("fashion-mnist-sample")
    images = [Image.fromarray(image[0].numpy()) for image in data.test_images[:16]]
    return RealImages(f"{counted(len(images), 'image')} of Fashion-MNIST, scaled up beyond 28x28", tuple(images))


def fashion_images() -> RealImages:
    """The embedded Fashion-MNIST sample: for the gray point, whose size it has."""
    from gsdd_runtime.datasets import load_dataset

    data = load_dataset("fashion-mnist-sample")
    images = [Image.fromarray(image[0].numpy()) for image in data.test_images[:16]]
    return RealImages(f"{counted(len(images), 'image')} of Fashion-MNIST", tuple(images))


def _crop(path: Path, quarter: int) -> Image.Image:
    """A square of two thirds of the photograph's shorter side, in one of its four corners."""
    with Image.open(path) as image:
        image.load()
        edge = min(image.size) * 2 // 3
        left = 0 if quarter % 2 == 0 else image.width - edge
        top = 0 if quarter < 2 else image.height - edge
        return image.convert("RGB").crop((left, top, left + edge, top + edge))
