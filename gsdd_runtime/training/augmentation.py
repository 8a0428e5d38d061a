"""Differentiable Siamese Augmentation, DSA (Zhao and Bilen, arXiv 2102.08259).

One kind of change is drawn per batch, its amounts per image. For matching, one draw with one amount serves
the real and the synthetic batch alike: that is the "Siamese" in the name. Everything is differentiable with
respect to the images, and made for normalised ones: what lies outside an image, or is cut out, becomes 0,
which is the mean colour.

Amounts are drawn in float64 on the generator's device, so that a seed means the same whatever device holds
the images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gsdd_runtime.devices import send
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted

DEFAULT_STRATEGY = "color_crop_cutout_flip_scale_rotate"

FLIP_PROBABILITY = 0.5
SCALE_RATIO = 1.2
ROTATE_DEGREES = 15.0
CROP_RATIO = 0.125
CUTOUT_RATIO = 0.5
BRIGHTNESS = 1.0
SATURATION = 2.0
CONTRAST = 0.5


def chosen_augmentation(augment: object) -> str | None:
    """``"dsa"``, or None for no augmentation, which is spelled None or ``"none"``.

    Raises:
        InputError: anything else.
    """
    if augment is None or augment == "none":
        return None
    if augment != "dsa":
        raise InputError(f"augment {augment!r} is not known: choose one of dsa, none")
    return "dsa"


@dataclass(frozen=True)
class DsaDraw:
    """One draw of DSA, to be applied to any number of batches.

    Attributes:
        kind: ``color``, ``crop``, ``cutout``, ``flip``, ``scale`` or ``rotate``.
        amounts: float64 ``[3, images]`` or ``[3, 1]`` in [0, 1), of which a kind uses the first one, two or
            three.
    """

    kind: str
    amounts: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """The changed images, same shape ``[batch, C, H, W]``, dtype and device; one amount serves any batch.

        Raises:
            InputError: images that are not ``[batch, C, H, W]`` in floating point, or another number of
                images than the draw is for.
        """
        if images.dim() != 4 or not images.is_floating_point():
            raise InputError(
                f"DSA takes floating-point images [batch, C, H, W], got {images.dtype} of shape {tuple(images.shape)}"
            )
        drawn = self.amounts.shape[1]
        if drawn not in (1, images.shape[0]):
            raise InputError(f"this draw of DSA is for {counted(drawn, 'image')}, got {images.shape[0]}")
        return _KINDS[self.kind](images, send(self.amounts, images.device))


def draw_dsa(generator: torch.Generator, count: int = 1, *, strategy: str = DEFAULT_STRATEGY) -> DsaDraw:
    """Draws one kind of ``strategy`` and the amounts for ``count`` images; 1 is the shared draw of matching.

    Raises:
        InputError: a strategy with an unknown kind, or with none.
    """
    kinds = _kinds_of(strategy)
    device = generator.device
    kind = kinds[int(torch.randint(len(kinds), (1,), generator=generator, device=device).item())]
    return DsaDraw(kind, torch.rand(3, count, generator=generator, dtype=torch.float64, device=device))


def augmented_together(draws: Sequence[DsaDraw], images: Tensor, sizes: Sequence[int]) -> Tensor:
    """Several batches, each changed by a draw of its own, one call for all that drew the same kind.

    Args:
        draws: one a batch, of one amount each.
        images: the batches one after the other, ``[sum(sizes), C, H, W]``.
        sizes: images of each.
    """
    if len(draws) == 1:
        return draws[0].apply(images)
    counts = torch.tensor(sizes)
    owner = torch.arange(len(draws)).repeat_interleave(counts)
    amounts = torch.cat([draw.amounts for draw in draws], dim=1)
    places, changed = [], []
    for kind in dict.fromkeys(draw.kind for draw in draws):
        those = torch.tensor([draw.kind == kind for draw in draws])[owner].nonzero().flatten()
        drawn = DsaDraw(kind, amounts[:, owner[those]])
        places.append(those)
        changed.append(drawn.apply(images.index_select(0, send(those, images.device))))
    back = torch.cat(places).argsort()
    return torch.cat(changed).index_select(0, send(back, images.device))


def dsa(
    images: Tensor, generator: torch.Generator, *, strategy: str = DEFAULT_STRATEGY, shared: bool = False
) -> Tensor:
    """Changes a batch by one kind, drawn for the batch, with amounts drawn per image.

    The kinds: ``flip`` left to right with probability 0.5; ``scale`` by factors in [1/1.2, 1.2], one for each
    axis; ``rotate`` within 15 degrees; ``crop``, a shift of up to an eighth; ``cutout`` of half the side;
    ``color``: brightness +-0.5, saturation x[0, 2] (nothing for one channel), contrast x[0.5, 1.5].

    Args:
        images: normalised, ``[batch, C, H, W]``, any floating dtype.
        generator: the only source of chance.
        strategy: kinds to draw from, joined by underscores.
        shared: the same amounts for all images.

    Raises:
        InputError: as :func:`draw_dsa` and :meth:`DsaDraw.apply`.
    """
    return draw_dsa(generator, 1 if shared else images.shape[0], strategy=strategy).apply(images)


def dsa_several(images: Tensor, generator: torch.Generator) -> Tensor:
    """A flip, a change of color, and one of crop, scale and rotate, each with its own amounts for every image.

    IDC's form of DSA where CutMix follows, as NCFM and DANCE take it (``DiffAug`` without cutout in their code).

    Args:
        images: as :func:`dsa` takes them.
        generator: the only source of chance.
    """
    for strategy in ("flip", "color", "crop_scale_rotate"):
        images = dsa(images, generator, strategy=strategy)
    return images


def _kinds_of(strategy: str) -> list[str]:
    kinds = strategy.split("_")
    for kind in kinds:
        if kind not in _KINDS:
            raise InputError(
                f"unknown DSA kind {kind!r} in {strategy!r}: join some of {', '.join(_KINDS)} with underscores"
            )
    return kinds


def _per_image(amount: Tensor, images: Tensor) -> Tensor:
    return amount.to(images.dtype)[:, None, None, None]


def _below(amount: Tensor, count: int) -> Tensor:
    """Whole numbers 0 to ``count - 1``, evenly, from amounts in [0, 1)."""
    return (amount * count).long().clamp(max=count - 1)


def _color(images: Tensor, amounts: Tensor) -> Tensor:
    brightness, saturation, contrast = (_per_image(amount, images) for amount in amounts)
    images = images + (brightness - 0.5) * BRIGHTNESS
    if images.shape[1] > 1:
        gray = images.mean(dim=1, keepdim=True)
        images = (images - gray) * (saturation * SATURATION) + gray
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + CONTRAST) + mean


def _flip(images: Tensor, amounts: Tensor) -> Tensor:
    return torch.where(_per_image(amounts[0], images) < FLIP_PROBABILITY, images.flip(3), images)


def _crop(images: Tensor, amounts: Tensor) -> Tensor:
    for axis, amount in ((2, amounts[0]), (3, amounts[1])):
        images = _shift(images, axis, amount)
    return images


def _shift(images: Tensor, axis: int, amount: Tensor) -> Tensor:
    side = images.shape[axis]
    most = int(side * CROP_RATIO + 0.5)
    offset = _below(amount, 2 * most + 1) - most
    source = torch.arange(side, device=images.device) + offset[:, None]
    shape = [-1, 1, 1, 1]
    shape[axis] = side
    inside = ((source >= 0) & (source < side)).reshape(shape)
    # Wrapped round, the index is a permutation: its gradient is one too, with no two writers for a pixel.
    index = (source % side).reshape(shape).expand(images.shape)
    return torch.where(inside, images.gather(axis, index), torch.zeros((), dtype=images.dtype, device=images.device))


def _cutout(images: Tensor, amounts: Tensor) -> Tensor:
    holes = []
    for axis, amount in ((2, amounts[0]), (3, amounts[1])):
        side = images.shape[axis]
        cut = int(side * CUTOUT_RATIO + 0.5)
        first = _below(amount, side + 1 - cut % 2) - cut // 2
        place = torch.arange(side, device=images.device)
        holes.append((place >= first[:, None]) & (place < first[:, None] + cut))
    hole = holes[0][:, None, :, None] & holes[1][:, None, None, :]
    return images.masked_fill(hole, 0.0)


def _scale(images: Tensor, amounts: Tensor) -> Tensor:
    x, y = amounts[:2] * (SCALE_RATIO - 1 / SCALE_RATIO) + 1 / SCALE_RATIO
    zero = torch.zeros_like(x)
    return _affine(images, [x, zero, zero, zero, y, zero])


def _rotate(images: Tensor, amounts: Tensor) -> Tensor:
    angle = (amounts[0] - 0.5) * 2 * math.radians(ROTATE_DEGREES)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Coordinates run from -1 to 1 along each side, so a turn of an oblong image needs its proportions.
    height, width = images.shape[2:]
    return _affine(images, [cosine, -sine * (height / width), zero, sine * (width / height), cosine, zero])


def _affine(images: Tensor, rows: list[Tensor]) -> Tensor:
    # Half precision cannot tell neighbouring pixels apart in coordinates of -1 to 1.
    wide = images if images.dtype == torch.float64 else images.float()
    theta = torch.stack(rows, dim=1).reshape(-1, 2, 3).to(wide.dtype)
    grid = functional.affine_grid(theta, [theta.shape[0], *images.shape[1:]], align_corners=False)
    if images.is_cuda and images.requires_grad:
        return _sample_by_gather(wide, grid).to(images.dtype)
    grid = grid.expand(images.shape[0], -1, -1, -1)
    return functional.grid_sample(wide, grid, align_corners=False).to(images.dtype)


def _sample_by_gather(images: Tensor, grid: Tensor) -> Tensor:
    """``grid_sample`` (bilinear, zeros outside) whose gradient has the same bits every run.

    On CUDA, grid_sample's own gradient adds with float atomics; that of indexing sorts first.
    """
    batch, channels, height, width = images.shape
    column = (grid[..., 0] + 1) * (width / 2) - 0.5
    row = (grid[..., 1] + 1) * (height / 2) - 0.5
    left, top = column.floor(), row.floor()
    flat = images.flatten(2)
    result = torch.zeros_like(flat)
    which = torch.arange(batch, device=images.device)[:, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None]
    for x, y in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        weight = (1 - (column - x).abs()) * (1 - (row - y).abs())
        weight = weight * ((x >= 0) & (x < width) & (y >= 0) & (y < height))
        place = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long()
        taken = flat[which, channel, place.flatten(1)[:, None, :]]
        result = result + weight.flatten(1)[:, None, :] * taken
    return result.reshape(images.shape)


_KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}
