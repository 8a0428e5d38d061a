"""The networks that there are, by name, drawn from an explicit seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.networks.alexnet import alexnet
from gsdd_runtime.networks.convnet import MAX_DEPTH, ConvNetPlan, convnet
from gsdd_runtime.networks.lenet import lenet
from gsdd_runtime.networks.mlp import mlp
from gsdd_runtime.networks.network import Network, Size
from gsdd_runtime.networks.outside import is_outside, outside, permit
from gsdd_runtime.networks.resnet import resnet18
from gsdd_runtime.networks.resnet_ap import resnet_ap10
from gsdd_runtime.networks.vgg import vgg11
from gsdd_runtime.networks.vit import vit, vit_cifar
from gsdd_runtime.splatting.gaussians import MAX_CHANNELS, MAX_SIDE

# The field's ConvNet by the longer side of the images, in pixels.
DEFAULT_NETWORKS = ((32, "convnet3"), (64, "convnet4"), (math.inf, "convnet5"))
CONVNET_NAME = "convnetD[-wW][-batch|group|layer|nonorm][-sigmoid|leakyrelu|swish][-maxpool|nopool]"

Maker = Callable[[int, int, Size], Network]
# Of DatasetCondensation (Zhao et al.), which every later repository starts from.
_DC = "DC, DSA, DM (github.com/VICO-UoE/DatasetCondensation)"
_MTT = "MTT (github.com/GeorgeCazenavette/mtt-distillation), torchvision"
_GLAD = "GLaD, GSDD (github.com/GeorgeCazenavette/glad)"
_DANCE = "IDC, NCFM, DANCE (github.com/Hansong-Zhang/DANCE)"


@dataclass(frozen=True)
class Entry:
    """A network of one shape: how it is made, its norm, and where it is published."""

    make: Maker
    norm: str
    source: str


_ENTRIES: dict[str, Entry] = {
    "mlp": Entry(mlp, "none", _DC),
    "lenet": Entry(lenet, "none", _DC),
    "alexnet": Entry(alexnet, "none", _DC),
    "alexnet-batch": Entry(partial(alexnet, batch_norm=True), "batch", _DC),
    "vgg11": Entry(vgg11, "instance", _DC),
    "vgg11-batch": Entry(partial(vgg11, kind="batch"), "batch", _DC),
    "vgg11-imagenet": Entry(partial(vgg11, pooled=True), "instance", _GLAD),
    "resnet18": Entry(resnet18, "instance", _DC),
    "resnet18-batch": Entry(partial(resnet18, kind="batch"), "batch", _DC),
    "resnet18-imagenet": Entry(partial(resnet18, large_stem=True), "instance", _MTT),
    "resnet18-imagenet-batch": Entry(partial(resnet18, large_stem=True, kind="batch"), "batch", _MTT),
    "resnetap10": Entry(resnet_ap10, "instance", _DANCE),
    "resnetap10-batch": Entry(partial(resnet_ap10, kind="batch"), "batch", _DANCE),
    "vit": Entry(vit, "none", _GLAD),
    "vit-cifar": Entry(vit_cifar, "layer", _GLAD),
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
    """A fresh network on the CPU, in float32 and training mode, with its published initialisation.

    Args:
        name: ``convnet{depth}`` with a depth of 1 to 16, 128 filters, instance norm, ReLU and average pools, or with
            other ones in this order: ``convnet{depth}-w{width}-{norm}-{activation}-{pooling}``; or one of the names
            that :func:`known_names` gives, ``timm:NAME``, or ``module:Class`` where it was permitted.
        channels: of the images, 1 to 4. With one, the first convolution pads 2 more than otherwise, so that
            28 becomes 32; not in the ResNets.
        classes: logits to return.
        size: height and width of the images in pixels.
        generator: advanced by one draw; or
        seed: of the initial weights. One of the two is needed. PyTorch's global generator is left as it was.

    Raises:
        InputError: a name that is not known, or images that the network cannot take.
        GsddError: timm is not installed.
    """
    check_type("network", name, str, "a name", f"choose one of {known_names()}")
    _check(name, channels, classes, size)
    make = entry(name).make
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would seed the devices' generators too.
        torch.default_generator.manual_seed(_initial_seed(generator, seed))
        return make(channels, classes, size)


def default_network(size: Size) -> str:
    """The network that distilling, training and evaluating take for images of ``size`` where none is named."""
    return next(name for side, name in DEFAULT_NETWORKS if max(size) <= side)


def chosen(name: str | None, size: Size) -> str:
    """The network that the user named, who may name code of their own, or the default for ``size``.

    Only for names that come from the command line or a function's argument, never for those that a file holds.
    """
    if name is None:
        return default_network(size)
    permit(name)
    return name


def known_names() -> str:
    """The names that :func:`build` takes, for a message or a help text."""
    return (
        f"convnet1 to convnet{MAX_DEPTH}, convnetD-wW (depth D, W filters), " + ", ".join(_ENTRIES) +
        ", timm:NAME, module:Class; `gsdd-rt networks` says more"
    )  # fmt: skip


def listed_names() -> tuple[str, ...]:
    """The names of fixed shapes, with the ConvNets that are the defaults."""
    return (*(name for _, name in DEFAULT_NETWORKS), *_ENTRIES)


def entry(name: str) -> Entry:
    """Raises InputError for a name that is not known."""
    plan = ConvNetPlan.of(name)
    if plan is not None:
        return Entry(partial(convnet, plan=plan), "none" if plan.norm == "nonorm" else plan.norm, _DC)
    if is_outside(name):
        return Entry(partial(outside, name), "its own", "timm" if name.startswith("timm:") else "your own code")
    if name not in _ENTRIES:
        raise InputError(f"unknown network {name!r}: choose one of {known_names()}")
    return _ENTRIES[name]


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
