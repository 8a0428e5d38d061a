"""How storage is counted: in float32 images, and in the bits that coded ones were measured to take."""

from __future__ import annotations

import math

from gsdd_runtime.datasets import RealData

# A budget is counted in float32 images; a pixel image of bfloat16 takes half of one.
PIXEL_IMAGES_PER_FLOAT32_IMAGE = 2
FLOAT32_BITS = 32

# What a Gaussian takes by the default steps of coding, measured on distilled sets (docs/coding.md), by its channels.
BITS_PER_GAUSSIAN = {1: 24.0, 2: 29.0, 3: 34.0, 4: 39.0}
# Kept for the file's header.
HEADER_BYTES = 2048


def float32_bits(data: RealData, ipc: int) -> int:
    """Bits of ``ipc`` float32 images."""
    return data.height * data.width * data.channels * ipc * FLOAT32_BITS


def coded_bits(data: RealData, ipc: int) -> int:
    """The same without a class's share of the header."""
    return max(0, float32_bits(data, ipc) - 8 * HEADER_BYTES // data.classes)


def coded_budget(data: RealData, ipc: int) -> int:
    """Bytes that a coded set may take, its file's header and all."""
    return float32_bits(data, ipc) // 8 * data.classes


def bounded(room: int, most: int | None) -> int:
    """A default number of images where ``room`` would fit: at least one, at most ``most``."""
    return max(1, room if most is None else min(room, most))


def gaussian_images(data: RealData, held: int, ipc: int, most: int | None) -> int:
    """Images per class where ``held`` Gaussians fit.

    An image gets about ``0.7 * side * ipc^(1/3)`` Gaussians, ``side`` the geometric mean of height and width, which
    lies among the paper's own settings (22 and 42 at 32 pixels for IPC 1 and 10, 54 and 170 at 128 for IPC 1).
    """
    wanted = max(1.0, 0.7 * math.sqrt(data.height * data.width) * ipc ** (1 / 3))
    return bounded(int(held / wanted), most)
