"""What coded pixels will take, before they are trained: measured on images like those that a run starts from.

Real images are smooth, and trained ones are not: Adam moves every pixel by its rate, in steps of its own, so that after
some ten of them the finest levels are noise. That much is added to the first images before they are measured.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.distillation.representations.representation import Room
from gsdd_runtime.distillation.storage import coded_bits
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.coding.coded import encode_images
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.decoding import scaled

# Of the noise that a start without images is, in pixel units.
NOISE = 0.25
# The deviation that training scatters pixels by, in learning rates (docs/coding.md): of 2 bits, whose levels are far
# apart and see what it does to larger shapes, and of 8.
_SCATTER = (5.0, 2.0)
# Levels may come to lie wider apart, and no image is added: rather a few too many are planned.
_SHARE = 0.97
# Images and values that are measured at most, and images at least: a code's tables weigh more on few.
_MOST_IMAGES, _MOST_VALUES, _LEAST_IMAGES = 200, 1 << 19, 8


def images_that_fit(room: Room, size: tuple[int, int], bits: int, learning_rate: float) -> int:
    """Images per class, coded by so many ``bits`` a pixel, that fill the storage; 0 where it does not hold one.

    Args:
        room: to fill.
        size: height and width of the pixels as they are kept.
        learning_rate: of the matching.
    """
    values = room.data.channels * size[0] * size[1]
    count = min(_MOST_IMAGES, max(_LEAST_IMAGES, _MOST_VALUES // values))
    held = 0
    # Again where there are fewer than were measured.
    for _ in range(2):
        taken = bits_of_pixels(_first_pixels(room, size, count), bits, learning_rate)
        held = int(coded_bits(room.data, room.ipc) / (values * taken * _SHARE))
        if held * room.data.classes >= count:
            break
        count = max(1, held * room.data.classes)
    return held


def bits_of_pixels(pixels: Tensor, bits: int, learning_rate: float) -> float:
    """Bits that a pixel and channel of images takes once it is trained.

    Args:
        pixels: the first images, ``[M, C, H, W]`` in pixel units on the CPU; at most ``_MOST_IMAGES`` are looked at.
        bits: of their levels.
        learning_rate: of the training.
    """
    some = pixels[:: -(-len(pixels) // _MOST_IMAGES)].float()
    noise = torch.randn(some.shape, generator=derived_generator(0, "pixel rate"))
    scatter = max(0.0, _SCATTER[0] + (bits - 2) * (_SCATTER[1] - _SCATTER[0]) / 6)
    scattered = some + scatter * learning_rate * noise
    height, width = some.shape[2:]
    coded = encode_images(scattered, None, height, width, PixelSteps.fitted(scattered, bits))
    return 8 * coded.data.numel() / some.numel()


def _first_pixels(room: Room, size: tuple[int, int], count: int) -> Tensor:
    """Images as a run starts from, ``[count, C, H, W]``, the real ones from all over the training images."""
    data = room.data
    if room.noise:
        noise = torch.randn(count, data.channels, *size, generator=derived_generator(0, "pixel rate", "start"))
        return torch.tensor(data.mean).view(1, -1, 1, 1) + NOISE * noise
    total = len(data.train_labels)
    places = torch.arange(min(count, total)) * total // min(count, total)
    return scaled(data.train_images[places].float() / 255, size)
