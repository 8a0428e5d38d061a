"""What decoding costs, refused before it is spent: a small file can ask for more than any machine has."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.splatting.tile_lists import boxes
from gsdd_runtime.wording import bytes_in_words, counted

# Pairs of a Gaussian and a pixel that one call draws, or one pass over a set. A fast core takes half an hour for so
# many. All 1.28 million images of ImageNet at 224 x 224, every pixel under a hundred Gaussians, are 6e12.
MAX_PAIRS = 10**13
# Gaussians that are looked at at once.
_PART = 1 << 18


def check_image_memory(images: int, bytes_an_image: int, device: torch.device, remedy: str) -> None:
    """Before images are decoded: is there memory for them?

    Main memory is asked for what is free; of a CUDA device its size alone, since it says itself when it is full.

    Args:
        images: how many.
        bytes_an_image: with working copies.
        device: where they will be.
        remedy: what to do where they do not fit.

    Raises:
        InputError: they do not fit.
    """
    needed = images * bytes_an_image
    if device.type == "cpu":
        check_memory(needed, f"decoding {counted(images, 'image')} at once", remedy)
    elif device.type == "cuda" and needed > (total := torch.cuda.get_device_properties(device).total_memory):
        raise InputError(
            f"decoding {counted(images, 'image')} at once would take {bytes_in_words(needed)}, "
            f"{device} has {bytes_in_words(total)}: {remedy}"
        )


def check_drawing(
    where: str,
    rows: Callable[[slice | Tensor], Tensor],
    chosen: slice | Tensor,
    count: int,
    size: tuple[int, int],
    native_size: tuple[int, int],
) -> None:
    """Before Gaussians are drawn at ``size``: is it work that can be meant?

    Args:
        where: begins the error.
        rows: gives the Gaussians ``[B, N, 6 + C]`` at a slice or at indices. Not asked where they are few.
        chosen: which images.
        count: ``N``.
        size, native_size: height and width of the images, and those that the factors are measured in.

    Raises:
        InputError: more than ``MAX_PAIRS``.
    """
    images = chosen.stop - chosen.start if isinstance(chosen, slice) else len(chosen)
    if images * count * size[0] * size[1] <= MAX_PAIRS:
        return
    pairs = 0.0
    step = max(1, _PART // count)
    for first in range(0, images, step):
        if isinstance(chosen, slice):
            part = rows(slice(chosen.start + first, min(chosen.start + first + step, chosen.stop)))
        else:
            part = rows(chosen[first : first + step])
        pairs += _pairs(part, size, native_size)
    if pairs > MAX_PAIRS:
        raise InputError(
            f"{where}: drawing {counted(images, 'image')} of {size[0]}x{size[1]} is hours of work, {pairs:.1e} pairs "
            f"of a Gaussian and a pixel, at most {MAX_PAIRS:.0e} are drawn: take a smaller size or fewer images"
        )


def _pairs(gaussians: Tensor, size: tuple[int, int], native_size: tuple[int, int]) -> float:
    """Pixels in the boxes that ``[B, N, 6 + C]`` may touch, all together."""
    limit = torch.tensor([size[1], size[0]], device=gaussians.device)
    total = 0.0
    for part in gaussians.reshape(1, -1, gaussians.shape[2]).split(_PART, dim=1):
        _, half = boxes(part, *size, native_size)
        total += float((2 * half).minimum(limit).double().prod(dim=-1).sum())
    return total
