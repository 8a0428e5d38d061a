"""The networks that there are, by name, drawn from an explicit seed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch

from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.networks.alexnet import alexnet
from gsdd_runtime.networks.convnet import convnet
from gsdd_runtime.networks.lenet import lenet
from gsdd_runtime.networks.mlp import mlp
from gsdd_runtime.networks.network import Network, Size
from gsdd_runtime.networks.resnet import resnet18
from gsdd_runtime.networks.vgg import vgg11
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, MAX_SIDE

DEFAULT_WIDTH = 128
MAX_WIDTH = 2048
MAX_DEPTH = 6

# The field's ConvNet by the longer side of the images, in pixels.
DEFAULT_NETWORKS = ((32, "convnet3"), (64, "convnet4"), (math.inf, "convnet5"))

_CONVNET = re.compile(r"convnet([1-9])(?:-w([1-9][0-9]{0,4}))?")

_MAKERS: dict[str, Callable[[int, int, Size], Network]] = {
    "mlp": mlp,
    "lenet": lenet,
    "alexnet": alexnet,
    "vgg11": vgg11,
    "resnet18": resnet18,
}


def build(
    name: str,
    channels: int,
    classes: int,
    size: Size,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
) -> Network:
    """A fresh network on the CPU, in float32, with PyTorch's default initialisation.

    Args:
        name: ``convnet{depth}`` with a depth of 1 to 6 and 128 filters, ``convnet{depth}-w{width}``, or one
            of ``mlp``, ``lenet``, ``alexnet``, ``vgg11``, ``resnet18``.
        channels: of the images, 1 to 4. With one, the first convolution pads 2 more than otherwise, so that
            28 becomes 32; not in ResNet.
        classes: logits to return.
        size: height and width of the images in pixels.
        generator: advanced by one draw; or
        seed: of the initial weights. One of the two is needed. PyTorch's global generator is left as it was.

    Raises:
        InputError: a name that is not known, or images that the network cannot take.
    """
    check_type("network", name, str, "a name", f"choose one of {known_names()}")
    _check(name, channels, classes, size)
    make = _maker(name)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would seed the devices' generators too.
        torch.default_generator.manual_seed(_initial_seed(generator, seed))
        return make(channels, classes, size)


def default_network(size: Size) -> str:
    """The network that distilling, training and evaluating take for images of ``size`` where none is named."""
    return next(name for side, name in DEFAULT_NETWORKS if max(size) <= side)


def known_names() -> str:
    """The names that :func:`build` takes, for a message or a help text."""
    return f"convnet1 to convnet{MAX_DEPTH}, convnetD-wW (depth D, W filters), " + ", ".join(_MAKERS)


def _initial_seed(generator: torch.Generator | None, seed: int | None) -> int:
    if generator is not None and seed is None:
        return int(torch.randint(2**62, (1,), generator=generator, device=generator.device).item())
    if seed is not None and generator is None:
        return seed
    raise InputError("build() needs a generator or a seed, and not both")


def _check(name: str, channels: int, classes: int, size: Size) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"network {name}: images have 1 to {MAX_CHANNELS} channels, got {channels}")
    if not 1 <= classes <= 10**6:
        raise InputError(f"network {name}: needs 1 to 1000000 classes, got {classes}")
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise InputError(f"network {name}: images have sides of 1 to {MAX_SIDE} pixels, got {size[0]}x{size[1]}")


def _maker(name: str) -> Callable[[int, int, Size], Network]:
    match = _CONVNET.fullmatch(name)
    if match is not None:
        depth, width = int(match[1]), int(match[2] or DEFAULT_WIDTH)
        if depth <= MAX_DEPTH and width <= MAX_WIDTH:
            return lambda channels, classes, size: convnet(channels, classes, size, depth, width)
    if name not in _MAKERS:
        raise InputError(f"unknown network {name!r}: choose one of {known_names()}")
    return _MAKERS[name]
