"""ConvNet: the network that distilled sets are made and judged with."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.networks.network import GROUPS, Network, Size, norm, too_small

DEFAULT_WIDTH = 128
MAX_WIDTH = 2048
MAX_DEPTH = 16

NAME = re.compile(
    r"convnet([1-9][0-9]?)(?:-w([1-9][0-9]{0,4}))?(?:-(batch|group|layer|nonorm))?(?:-(sigmoid|leakyrelu|swish))?"
    r"(?:-(maxpool|nopool))?"
)


@dataclass(frozen=True)
class ConvNetPlan:
    """A ConvNet: blocks of a 3 x 3 convolution, a norm, an activation and a pool of 2 x 2.

    Attributes:
        depth: blocks.
        width: filters of each.
        norm: ``instance``, ``batch``, ``group`` (of 4 groups), ``layer`` or ``nonorm``.
        activation: ``relu``, ``sigmoid``, ``leakyrelu`` (of slope 0.01) or ``swish``.
        pooling: ``avgpool``, ``maxpool`` or ``nopool``.
    """

    depth: int
    width: int = DEFAULT_WIDTH
    norm: str = "instance"
    activation: str = "relu"
    pooling: str = "avgpool"

    @classmethod
    def of(cls, name: str) -> ConvNetPlan | None:
        """The plan that a name stands for, or None where it is no ConvNet's."""
        match = NAME.fullmatch(name)
        if match is None:
            return None
        depth, width, *rest = match.groups()
        plan = cls(int(depth), int(width or DEFAULT_WIDTH), *(rest[0] or "instance", rest[1] or "relu"),
                   pooling=rest[2] or "avgpool")  # fmt: skip
        return plan if plan.depth <= MAX_DEPTH and plan.width <= MAX_WIDTH else None


def convnet(channels: int, classes: int, size: Size, plan: ConvNetPlan) -> Network:
    padding = 3 if channels == 1 else 1
    pooled = plan.pooling != "nopool"
    _check(size, plan, padding)
    shape = (size[0] + 2 * (padding - 1), size[1] + 2 * (padding - 1))
    layers: list[nn.Module] = []
    inputs = channels
    for block in range(plan.depth):
        layers.append(nn.Conv2d(inputs, plan.width, 3, padding=padding if block == 0 else 1))
        if plan.norm != "nonorm":
            layers.append(norm(plan.width, plan.norm, shape))
        layers.append(_activation(plan.activation))
        if pooled:
            layers.append(nn.AvgPool2d(2) if plan.pooling == "avgpool" else nn.MaxPool2d(2))
            shape = (shape[0] // 2, shape[1] // 2)
        inputs = plan.width
    return Network(nn.Sequential(*layers), plan.width * shape[0] * shape[1], classes)


def _check(size: Size, plan: ConvNetPlan, padding: int) -> None:
    if plan.norm == "group" and plan.width % GROUPS:
        raise InputError(f"convnet{plan.depth} with group norm: its width must be a multiple of {GROUPS}")
    # Behind the last pool one pixel is left, or before it two where there is none: norms make one a constant.
    least = max(1, (1 << plan.depth if plan.pooling != "nopool" else 2) - 2 * (padding - 1))
    if min(size) < least:
        raise too_small(f"convnet{plan.depth}", size, f"it needs sides of {least} or more, or a smaller depth")


def _activation(name: str) -> nn.Module:
    if name == "sigmoid":
        return nn.Sigmoid()
    if name == "leakyrelu":
        return nn.LeakyReLU(0.01)
    return nn.SiLU() if name == "swish" else nn.ReLU(inplace=True)
