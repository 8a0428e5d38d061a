"""Coding a set: the same images in a third of the bytes, or fewer (docs/coding.md).

Steps are chosen by what they cost and what they spoil, both measured: bytes as they are coded, errors in the images as
they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.coding.coded import CodedImages, encode_images
from gsdd_runtime.sets.coding.pixels import PixelSteps
from gsdd_runtime.sets.coding.steps import Steps, quantize, stored
from gsdd_runtime.sets.decoding import scaled
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.op import splat

# At a step of 1 for all, these shares spoil the images least for their bytes (measured: docs/coding.md).
SHARES = Steps(position=1.0, cholesky=0.7, color=0.5, opacity=1.0)
# What a set keeps its accuracy at (docs/coding.md).
DEFAULT_SCALE = 0.28
DEFAULT_PIXEL_BITS = 8
# Images that distortion is measured on: more tell the same.
_SAMPLE = 256
_SCALES = (2.0**-9, 2.0**3)
# Scales are found to within this power of two.
_PRECISION = 1 / 32
# Powers of two that steps are made coarser by at most so that a set fits.
_COARSENING = 3


@dataclass(frozen=True)
class Compression:
    """A set that was coded, and what that cost.

    Attributes:
        distilled_set: with ``coded``.
        bytes_before, bytes_after: of the images (and hard labels, afterwards).
        psnr: mean over images, in dB for a range of 1, of those decoded against those before.
    """

    distilled_set: DistilledSet
    bytes_before: int
    bytes_after: int
    psnr: float

    @property
    def bits_per_gaussian(self) -> float | None:
        """Coded bits for each stored Gaussian; None for pixels."""
        gaussians = self.distilled_set.gaussians
        return None if gaussians is None else 8 * self.bytes_after / (gaussians.shape[0] * gaussians.shape[1])


def compress(
    distilled_set: DistilledSet,
    *,
    psnr: float | None = None,
    bits_per_gaussian: float | None = None,
    nbytes: int | None = None,
    steps: Steps | PixelSteps | None = None,
    pixel_bits: int | None = None,
) -> Compression:
    """Codes the images of a set, and its labels where they are hard.

    At most one aim is given; with none, Gaussians are rounded so that a distilled set keeps its accuracy.

    Args:
        distilled_set: on the CPU; one that is coded is coded anew from its decoded images.
        psnr: mean PSNR of the images in dB that is at least kept.
        bits_per_gaussian, nbytes: that are at most taken; the images, and hard labels, count.
        steps: to round by, instead of an aim.
        pixel_bits: of a pixel set, 1 to 12; 8 if left out. Pixels take no other aim.

    Raises:
        InputError: more than one aim, or one that cannot be met.
    """
    aims = {"psnr": psnr, "bits_per_gaussian": bits_per_gaussian, "nbytes": nbytes, "steps": steps}
    given = [name for name, value in aims.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"give one of {', '.join(aims)}, not {' and '.join(given)}")
    if distilled_set.gaussians is None:
        if given and given != ["steps"]:
            raise InputError(f"pixels are coded by bits a pixel, not by {given[0]}: give pixel_bits")
        assert distilled_set.pixels is not None
        return coded_by(
            distilled_set, steps or PixelSteps.fitted(distilled_set.pixels, pixel_bits or DEFAULT_PIXEL_BITS)
        )
    if pixel_bits is not None:
        raise InputError("pixel_bits is for pixel sets; this one holds Gaussians")
    if steps is not None:
        return coded_by(distilled_set, steps)
    return _aimed(distilled_set, psnr, bits_per_gaussian, nbytes)


def coded_by(distilled_set: DistilledSet, steps: Steps | PixelSteps) -> Compression:
    """Codes a set by given steps."""
    result = distilled_set.with_coded(encoded(distilled_set, distilled_set.rows(), steps))
    loss = mean_psnr(distilled_set, distilled_set.rows(), result.rows())
    return Compression(result, distilled_set.image_nbytes, result.image_nbytes, loss)


def encoded(distilled_set: DistilledSet, images: Tensor, steps: Steps | PixelSteps) -> CodedImages:
    """``images``, of any float type, in the place of the set's own, coded with its labels where they are hard."""
    labels = distilled_set.labels if distilled_set.labels.dim() == 1 else None
    return encode_images(images, labels, distilled_set.height, distilled_set.width, steps)


def _aimed(
    distilled_set: DistilledSet, psnr: float | None, bits_per_gaussian: float | None, nbytes: int | None
) -> Compression:
    gaussians = distilled_set.rows()
    if bits_per_gaussian is not None:
        if not bits_per_gaussian > 0:
            raise InputError(f"bits_per_gaussian must be above 0, got {bits_per_gaussian}")
        nbytes = int(bits_per_gaussian * gaussians.shape[0] * gaussians.shape[1] / 8)
    if nbytes is not None:
        return within_bytes(distilled_set, nbytes)
    if psnr is None:
        return coded_by(distilled_set, SHARES.scaled(DEFAULT_SCALE))
    sample = gaussians[:: max(1, len(gaussians) // _SAMPLE)]
    size, wanted = (distilled_set.height, distilled_set.width), psnr

    def keeps(scale: float) -> bool:
        steps = SHARES.scaled(scale)
        return mean_psnr(distilled_set, sample, stored(quantize(sample, *size, steps), *size, steps)) >= wanted

    scale = _bisected(keeps)
    if scale is None:
        raise InputError(f"no steps keep {psnr} dB: bfloat16 itself is the limit; ask for less")
    return coded_by(distilled_set, SHARES.scaled(scale))


def within_bytes(distilled_set: DistilledSet, nbytes: int, *, shares: Steps = SHARES) -> Compression:
    """The finest steps by which the images, and hard labels, take at most ``nbytes``.

    Raises:
        InputError: not even the coarsest do.
    """
    images = distilled_set.rows()

    def fits(scale: float) -> bool:
        try:
            return encoded(distilled_set, images, shares.scaled(scale)).data.numel() <= nbytes
        except InputError:
            # Steps so fine that a number cannot be coded: coarser ones are wanted.
            return False

    finest = _bisected(lambda scale: not fits(scale))
    scale = _SCALES[0] if finest is None else finest * 2**_PRECISION
    if not fits(scale):
        raise InputError(f"the images cannot be coded in {nbytes} bytes: allow more, or take fewer images")
    return coded_by(distilled_set, shares.scaled(scale))


def _bisected(holds: Callable[[float], bool]) -> float | None:
    """The largest scale for which ``holds``, which does so below a bound only; None where it never does."""
    low, high = 0, round(math.log2(_SCALES[1] / _SCALES[0]) / _PRECISION)

    def scale(place: int) -> float:
        return _SCALES[0] * 2 ** (place * _PRECISION)

    if not holds(scale(low)):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(scale(middle)) else (low, middle)
    return scale(low)


def coarsened(distilled_set: DistilledSet, gaussians: Tensor, steps: Steps, nbytes: int) -> DistilledSet:
    """The set with ``gaussians``, of any float type, coded by ``steps``, or the next coarser that take ``nbytes``.

    Raises:
        InputError: not even the coarsest do.
    """
    low, high = 0, round(_COARSENING / _PRECISION)
    found = encoded(distilled_set, gaussians, steps)
    if found.data.numel() > nbytes:
        found = encoded(distilled_set, gaussians, steps.scaled(2**_COARSENING))
        if found.data.numel() > nbytes:
            raise InputError(f"the images cannot be coded in {nbytes} bytes: allow more, or take fewer images")
        while high - low > 1:
            middle = (low + high) // 2
            coded = encoded(distilled_set, gaussians, steps.scaled(2 ** (middle * _PRECISION)))
            fits = coded.data.numel() <= nbytes
            low, high, found = (low, middle, coded) if fits else (middle, high, found)
    return distilled_set.with_coded(found)


def mean_psnr(distilled_set: DistilledSet, before: Tensor, after: Tensor) -> float:
    """Mean PSNR in dB for a range of 1 of images ``after``, as ``distilled_set`` stores them, against ``before``."""
    size = (distilled_set.height, distilled_set.width)
    total = 0.0
    for first, second in zip(before.split(_SAMPLE), after.split(_SAMPLE), strict=True):
        if distilled_set.gaussians is not None:
            first, second = splat(first, *size), splat(second, *size)
        else:
            first, second = scaled(first, size), scaled(second, size)
        errors = (first - second).square().mean(dim=(1, 2, 3))
        total += float((-10 * errors.clamp_min(1e-12).log10()).double().sum())
    return total / len(before)
