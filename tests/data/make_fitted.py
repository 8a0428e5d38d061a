"""Makes the fitted fixtures again: Gaussians fitted by Adam to real images, stored as bfloat16.

Usage: python tests/data/make_fitted.py --fashion-mnist t10k-images-idx3-ubyte.gz --photos FOLDER

FOLDER holds the photographs named in PHOTOS; tests/data/README.md says where they come from. Random
parameters do not show what fitted ones do (needles, opacities on both sides of 1, colours that subtract).
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from gsdd_runtime.distill.fit import fit_images

HERE = Path(__file__).parent
STEPS = 1500
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def fashion(path: Path, count: int) -> Tensor:
    """The first images of an IDX file, float32 ``[count, 1, 28, 28]`` in [0, 1]."""
    with gzip.open(path) as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    return torch.from_numpy(pixels[:count].copy()).float() / 255


def photographs(folder: Path, side: int) -> Tensor:
    """The middle square of each photograph, float32 ``[4, 3, side, side]`` in [0, 1]."""
    images = []
    for name in PHOTOS:
        image = Image.open(folder / name).convert("RGB")
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        square = image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.LANCZOS)
        images.append(torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255)
    return torch.stack(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion-mnist", type=Path, required=True, help="t10k-images-idx3-ubyte.gz")
    parser.add_argument("--photos", type=Path, required=True, help="folder of the photographs")
    options = parser.parse_args()
    sets = {
        "fitted-gray-28": (fashion(options.fashion_mnist, 8), 28),
        "fitted-color-32": (photographs(options.photos, 32), 22),
        "fitted-color-64": (photographs(options.photos, 64), 54),
    }
    for seed, (name, (images, count)) in enumerate(sets.items()):
        fitted = fit_images(images, count, steps=STEPS, seed=seed, device="cpu")
        save_file({"gaussians": fitted.gaussians.bfloat16()}, HERE / f"{name}.safetensors")
        print(name, "PSNR in dB:", ", ".join(f"{value:.1f}" for value in fitted.psnr))


if __name__ == "__main__":
    main()
