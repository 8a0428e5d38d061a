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

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.splatting.gaussians import ALPHA_THRESHOLD, CHOLESKY_BIAS, PIXEL_VARIANCE

# Powers of two that the amplitude of a Gaussian is told by.
AMPLITUDES = (-8, 7)
# Levels of a step, in powers of two of its base.
LEVELS = (-24, 24)
_POWERS = 24


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
        position: ``[..., N, 2]``.
    """

    color: Tensor
    opacity: Tensor
    position: Tensor


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


def levels(amplitude: Tensor, factor: Tensor) -> Levels:
    """Levels of the other steps, from the amplitude and the rounded factor, float64 ``[..., N, 3]``."""
    l11, l21, l22 = factor.unbind(-1)
    xx = l11 * l11 + PIXEL_VARIANCE
    xy = l11 * l21
    yy = l21 * l21 + l22 * l22 + PIXEL_VARIANCE
    area = (xx * yy - xy * xy).sqrt()
    power = _times_power(1.0, 2 * amplitude)
    slopes = torch.stack((power * yy / area, power * xx / area), dim=-1)
    return Levels(color=_level(area), opacity=_level(power * area), position=_level(slopes))


def _level(worth: Tensor) -> Tensor:
    """A step's level from the square that it is inverse to."""
    return (-torch.div(torch.frexp(worth).exponent, 2, rounding_mode="floor")).long().clamp(*LEVELS)


def quantize(gaussians: Tensor, height: int, width: int, steps: Steps) -> Rounded:
    """Gaussians ``[..., N, 6 + C]`` of images of ``height`` x ``width`` pixels as whole numbers."""
    exact = canonical(gaussians.double())
    amplitude = amplitudes(exact)
    shifted = exact[..., 2:5] + exact.new_tensor((CHOLESKY_BIAS, 0, CHOLESKY_BIAS))
    step = factor_steps(amplitude, steps).unsqueeze(-1)
    factor = (shifted / step).round()
    at = levels(amplitude, factor * step)
    half = exact.new_tensor((width / 2, height / 2))
    return Rounded(
        amplitude=amplitude,
        factor=factor.long(),
        opacity=((exact[..., -1] - 1).clamp_min(0) / _times_power(steps.opacity, at.opacity)).round().long(),
        color=(exact[..., 5:-1] / _times_power(steps.color, at.color).unsqueeze(-1)).round().long(),
        position=(exact[..., :2] * half / _times_power(steps.position, at.position)).round().long(),
    )


def dequantize(rounded: Rounded, height: int, width: int, steps: Steps) -> Tensor:
    """Gaussians, float64 ``[..., N, 6 + C]``; those without colour have opacity 0, and draw nothing."""
    factor = rounded.factor * factor_steps(rounded.amplitude, steps).unsqueeze(-1)
    at = levels(rounded.amplitude, factor)
    half = factor.new_tensor((width / 2, height / 2))
    position = rounded.position * _times_power(steps.position, at.position) / half
    color = rounded.color * _times_power(steps.color, at.color).unsqueeze(-1)
    opacity = rounded.opacity * _times_power(steps.opacity, at.opacity) + 1
    opacity = torch.where((rounded.color == 0).all(dim=-1), 0.0, opacity)
    shifted = factor - factor.new_tensor((CHOLESKY_BIAS, 0, CHOLESKY_BIAS))
    return torch.cat((position, shifted, color, opacity.unsqueeze(-1)), dim=-1)


def _times_power(base: float, level: Tensor) -> Tensor:
    # torch.ldexp takes the power in float32 by a function that need not be exact.
    powers = torch.tensor([2.0**power for power in range(-_POWERS, _POWERS + 1)], dtype=torch.float64)
    return base * powers.to(level.device)[level + _POWERS]


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
