"""Rounding Gaussians by steps that follow what each of them is worth in the image.

A change of a parameter is seen by the square of the colour, the area, and, for a position, the slope of the Gaussian.
So a strong and narrow Gaussian gets fine steps for its position, a faint and wide one coarse steps, in powers of two of
one base step a kind. All is float64 arithmetic of one operation at a time, so that every machine finds the same steps.

Two things are taken out first that change an image by no more than the threshold of 1/255 does: the sign of a column of
the Cholesky factor, and an opacity of at most 1, which is a factor of the colour. Opacities above 1 flatten a
Gaussian's top and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.gaussians import ALPHA_THRESHOLD, CHOLESKY_BIAS, PIXEL_VARIANCE, SHAPE_PARAMETERS

# Powers of two that the amplitude of a Gaussian is told by.
AMPLITUDES = (-8, 7)
# Levels of a step, in powers of two of its base.
LEVELS = (-24, 24)


@dataclass(frozen=True)
class Steps:
    """Base steps of a coded set: those of a Gaussian of amplitude 1 and of a standard deviation of one pixel.

    Attributes:
        position: in pixels of the native size.
        cholesky: in pixels.
        color: in image values.
        opacity: of what is above 1.

    Raises:
        InputError: a step that is not from 2^-16 to 2^8.
    """

    position: float
    cholesky: float
    color: float
    opacity: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 2**-16 <= value <= 2**8:
                raise InputError(f"the step of {name} must be a number from 2^-16 to 256, got {value!r}")

    def scaled(self, factor: float) -> Steps:
        """All steps times ``factor``."""
        return Steps(*(value * factor for value in vars(self).values()))


@dataclass(frozen=True)
class Rounded:
    """Gaussians as whole numbers, int64 ``[..., N]``, ``color`` with channels behind; steps follow from them.

    Attributes:
        amplitude: power of two of the colour's length, which the steps of the factor follow from.
        factor: ``l11 + 0.5``, ``l21``, ``l22 + 0.5``, ``[..., N, 3]``; the outer two not negative.
        opacity: what is above 1.
        color: ``[..., N, C]``.
        position: from the middle of the image, ``[..., N, 2]``.
    """

    amplitude: Tensor
    factor: Tensor
    opacity: Tensor
    color: Tensor
    position: Tensor


@dataclass(frozen=True)
class Levels:
    """Levels of the steps, int64: the power of two that multiplies the base of a kind.

    Attributes:
        color, opacity: ``[..., N]``.
        position: of x and of y, ``[..., N]`` each.
    """

    color: Tensor
    opacity: Tensor
    position: tuple[Tensor, Tensor]


def canonical(gaussians: Tensor) -> Tensor:
    """The same images by Gaussians whose factor has no negative diagonal and whose opacity is 1 or more, or 0.

    Args:
        gaussians: ``[..., 6 + C]``, float32 or wider. The result is differentiable in them.
    """
    position, l11, l21, l22 = gaussians[..., :2], gaussians[..., 2], gaussians[..., 3], gaussians[..., 4]
    color, opacity = gaussians[..., 5:-1], gaussians[..., -1]
    flipped = l11 + CHOLESKY_BIAS < 0
    l21 = torch.where(flipped, -l21, l21)
    l11, l22 = (part.add(CHOLESKY_BIAS).abs().sub(CHOLESKY_BIAS) for part in (l11, l22))
    color = color * opacity.clamp(0, 1).unsqueeze(-1)
    opacity = torch.where(opacity > ALPHA_THRESHOLD, opacity.clamp_min(1), 0)
    return torch.cat((position, torch.stack((l11, l21, l22), -1), color, opacity.unsqueeze(-1)), dim=-1)


def amplitudes(canonical_gaussians: Tensor) -> Tensor:
    """Power of two below the length of each colour, int64 ``[..., N]``."""
    length = canonical_gaussians[..., 5:-1].double().square().sum(dim=-1).sqrt()
    return (torch.frexp(length).exponent.long() - 1).clamp(*AMPLITUDES)


def factor_steps(amplitude: Tensor, steps: Steps) -> Tensor:
    """Step of the factor of each Gaussian, float64 ``[..., N]``."""
    return _times_power(steps.cholesky, -amplitude)


def levels(amplitude: Tensor, l11: Tensor, l21: Tensor, l22: Tensor) -> Levels:
    """Levels of the other steps, from the amplitude and the rounded factor with its bias, float64 ``[..., N]`` each."""
    xx = l11 * l11 + PIXEL_VARIANCE
    xy = l11 * l21
    yy = l21 * l21 + l22 * l22 + PIXEL_VARIANCE
    area = _root(xx * yy - xy * xy)
    color = _level(area)
    # The amplitude is a power of two that multiplies each of these squares once.
    found = (color, color - amplitude, _level(yy / area) - amplitude, _level(xx / area) - amplitude)
    color, opacity, x, y = (level.clamp(*LEVELS) for level in found)
    return Levels(color, opacity, (x, y))


def _root(numbers: Tensor) -> Tensor:
    # IEEE 754 to the bit, which PyTorch's by MKL does not promise; and no threads are woken for a few thousand numbers.
    return torch.from_numpy(np.sqrt(numbers.numpy())) if numbers.device.type == "cpu" else numbers.sqrt()


def _level(worth: Tensor) -> Tensor:
    """A step's level from the square that it is inverse to, before it is clamped: minus half the exponent, floored."""
    # The exponent field of a float64 is 1022 more than the exponent of a fraction from 0.5 to 1.
    return 511 - (worth.view(torch.int64) >> 53 & 0x3FF)


def quantize(gaussians: Tensor, height: int, width: int, steps: Steps) -> Rounded:
    """Gaussians ``[..., N, 6 + C]`` of images of ``height`` x ``width`` pixels as whole numbers."""
    exact = canonical(gaussians.double())
    amplitude = amplitudes(exact)
    step = factor_steps(amplitude, steps)
    l11, l21, l22 = ((exact[..., 2 + k] + bias) / step for k, bias in enumerate((CHOLESKY_BIAS, 0, CHOLESKY_BIAS)))
    factor = torch.stack((l11, l21, l22), dim=-1).round()
    at = levels(amplitude, *(part * step for part in factor.unbind(-1)))
    position = [
        (exact[..., k] * (side / 2) / _times_power(steps.position, level)).round()
        for k, (side, level) in enumerate(zip((width, height), at.position, strict=True))
    ]
    return Rounded(
        amplitude=amplitude,
        factor=factor.long(),
        opacity=((exact[..., -1] - 1).clamp_min(0) / _times_power(steps.opacity, at.opacity)).round().long(),
        color=(exact[..., 5:-1] / _times_power(steps.color, at.color).unsqueeze(-1)).round().long(),
        position=torch.stack(position, dim=-1).long(),
    )


def dequantize(rounded: Rounded, height: int, width: int, steps: Steps) -> Tensor:
    """Gaussians, float64 ``[..., N, 6 + C]``; those without colour have opacity 0, and draw nothing."""
    return torch.stack(_parameters(rounded, height, width, steps, None), dim=-1)


def stored(rounded: Rounded, height: int, width: int, steps: Steps) -> Tensor:
    """The same as a set keeps them, rounded to float32 and then to bfloat16."""
    shape = (*rounded.amplitude.shape, SHAPE_PARAMETERS + rounded.color.shape[-1])
    result = torch.empty(shape, dtype=torch.bfloat16, device=rounded.amplitude.device)
    store(result, rounded, height, width, steps, None)
    return result


def store(result: Tensor, rounded: Rounded, height: int, width: int, steps: Steps, at: Levels | None) -> None:
    """Fills ``result`` with what :func:`stored` gives.

    Args:
        result: bfloat16 ``[..., N, 6 + C]``.
        rounded: of any whole type. Parameters that are contiguous each, and not many more than 10,000, go fastest.
        height, width: of the images.
        steps: that they were rounded by.
        at: the levels of the steps, where they are known.
    """
    for index, parameter in enumerate(_parameters(rounded, height, width, steps, at)):
        result[..., index] = parameter.float()


def _parameters(rounded: Rounded, height: int, width: int, steps: Steps, at: Levels | None) -> list[Tensor]:
    """Each parameter of the Gaussians, float64 ``[..., N]``, in the order of the render specification."""
    step = factor_steps(rounded.amplitude, steps)
    l11, l21, l22 = (part * step for part in rounded.factor.unbind(-1))
    at = levels(rounded.amplitude, l11, l21, l22) if at is None else at
    x, y = (
        part * _times_power(steps.position, level) / (side / 2)
        for part, level, side in zip(rounded.position.unbind(-1), at.position, (width, height), strict=True)
    )
    colors = rounded.color.unbind(-1)
    step = _times_power(steps.color, at.color)
    drawn = reduce(torch.bitwise_or, colors) != 0
    opacity = torch.where(drawn, rounded.opacity * _times_power(steps.opacity, at.opacity) + 1, 0.0)
    return [x, y, l11 - CHOLESKY_BIAS, l21, l22 - CHOLESKY_BIAS, *(part * step for part in colors), opacity]


def _times_power(base: float, level: Tensor) -> Tensor:
    # torch.ldexp takes the power in float32 by a function that need not be exact: these are the bits of the power.
    return base * (level.long() + 1023 << 52).view(torch.float64)


def estimated_bits(gaussians: Tensor, height: int, width: int, steps: Steps) -> Tensor:
    """About what each Gaussian takes when it is coded, ``[..., N]``, differentiable in ``gaussians``.

    A number of ``u`` steps counts ``log2(1 + u)`` bits, a position as many as there are steps in the image; steps
    follow the Gaussian without being rounded to powers of two.
    """
    exact = canonical(gaussians)
    color, opacity = exact[..., 5:-1], exact[..., -1]
    l11, l21, l22 = exact[..., 2] + CHOLESKY_BIAS, exact[..., 3], exact[..., 4] + CHOLESKY_BIAS
    square = color.square().sum(dim=-1)
    xx = l11 * l11 + PIXEL_VARIANCE
    yy = l21 * l21 + l22 * l22 + PIXEL_VARIANCE
    area = (xx * yy - (l11 * l21).square()).clamp_min(PIXEL_VARIANCE**2).sqrt()
    # Below the smallest colour that is not rounded away, a Gaussian takes next to nothing.
    amplitude = (square + 1e-12).sqrt()
    bits = [torch.log2(1 + part.abs() * amplitude / steps.cholesky) for part in (l11, l21, l22)]
    for side, slope in ((width, yy), (height, xx)):
        bits.append(torch.log2(1 + side / steps.position * amplitude * (slope / area).sqrt()))
    bits += [torch.log2(1 + part.abs() * area.sqrt() / steps.color) for part in color.unbind(-1)]
    bits.append(torch.log2(1 + (opacity - 1).clamp_min(0) * amplitude * area.sqrt() / steps.opacity))
    return torch.stack(bits).sum(dim=0)
