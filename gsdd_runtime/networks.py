"""The networks of the dataset-distillation field, drawn from an explicit seed.

ConvNet is the network that distilled sets are made and judged with; the others test how far a set carries
over to another architecture. The shapes are those of Dataset Condensation (Zhao et al., arXiv 2006.05929, and
its published code): instance norm as a group norm with one channel per group, and PyTorch's default
initialisation. Where the field fixes an input of 32 x 32, the classifier here takes what the features give,
so other sizes work.

Every network has ``embed(x)``: the flattened features before the classifier, ``[batch, features]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.gaussians import MAX_CHANNELS, MAX_SIDE

DEFAULT_WIDTH = 128
MAX_WIDTH = 2048
MAX_DEPTH = 6
# A linear layer above this many weights (1 GiB) is an image too large for the network, not a wish.
MAX_LINEAR_WEIGHTS = 2**28

_CONVNET = re.compile(r"convnet([1-9])(?:-w([1-9][0-9]{0,4}))?")

Size = tuple[int, int]


class Network(nn.Module):
    """A feature extractor and a linear classifier on the flattened features."""

    def __init__(self, features: nn.Module, count: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.classifier = _linear(count, classes)

    def embed(self, x: Tensor) -> Tensor:
        """Flattened features before the classifier, ``[batch, features]``, of images ``[batch, C, H, W]``."""
        return self.features(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, classes]`` of normalised images ``[batch, C, H, W]``."""
        return self.classifier(self.embed(x))


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
    _check(name, channels, classes, size)
    make = _maker(name)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would seed the devices' generators too.
        torch.default_generator.manual_seed(_initial_seed(generator, seed))
        return make(channels, classes, size)


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
            return lambda channels, classes, size: _convnet(channels, classes, size, depth, width)
    if name not in _MAKERS:
        raise InputError(f"unknown network {name!r}: choose one of {known_names()}")
    return _MAKERS[name]


def _linear(inputs: int, outputs: int) -> nn.Linear:
    if inputs * outputs > MAX_LINEAR_WEIGHTS:
        raise InputError(
            f"images too large for this network: a layer of {inputs} x {outputs} weights; "
            "choose a deeper ConvNet or smaller images"
        )
    return nn.Linear(inputs, outputs)


def _too_small(name: str, size: Size, least: str) -> InputError:
    return InputError(f"images of {size[0]}x{size[1]} are too small for {name}: {least}")


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels, channels, affine=True)


def _convnet(channels: int, classes: int, size: Size, depth: int, width: int) -> Network:
    padding = 3 if channels == 1 else 1
    sides = [side + 2 * (padding - 1) >> depth for side in size]
    if min(sides) < 1:
        least = (1 << depth) - 2 * (padding - 1)
        raise _too_small(f"convnet{depth}", size, f"it needs sides of {least} or more, or a smaller depth")
    layers: list[nn.Module] = []
    inputs = channels
    for block in range(depth):
        layers += [
            nn.Conv2d(inputs, width, 3, padding=padding if block == 0 else 1),
            _norm(width),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
        ]
        inputs = width
    return Network(nn.Sequential(*layers), width * sides[0] * sides[1], classes)


def _sized(name: str, features: nn.Sequential, channels: int, classes: int, size: Size, least: int) -> Network:
    """A network over ``features``, whose count is taken from a dry run of one image without arithmetic."""
    if min(size) < least:
        raise _too_small(name, size, f"it needs sides of {least} or more")
    shape = _shape_after(features, channels, size)
    return Network(features, shape.numel(), classes)


def _shape_after(features: nn.Sequential, channels: int, size: Size) -> torch.Size:
    shape = list(size)
    out = channels
    for layer in features:
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            kernel, stride, padding = (
                v if isinstance(v, int) else int(v[0]) for v in (layer.kernel_size, layer.stride, layer.padding)
            )
            shape = [(side + 2 * padding - kernel) // stride + 1 for side in shape]
        if isinstance(layer, nn.Conv2d):
            out = layer.out_channels
    return torch.Size((out, *shape))


def _mlp(channels: int, classes: int, size: Size) -> Network:
    first = _linear(channels * size[0] * size[1], 128)
    features = nn.Sequential(nn.Flatten(), first, nn.ReLU(inplace=True), nn.Linear(128, 128), nn.ReLU(inplace=True))
    return Network(features, 128, classes)


def _lenet(channels: int, classes: int, size: Size) -> Network:
    gray = channels == 1
    if min(size) < (12 if gray else 16):
        raise _too_small("lenet", size, f"it needs sides of {12 if gray else 16} or more")
    convolutions = nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2 if gray else 0),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
    count = _shape_after(convolutions, channels, size).numel()
    head = [
        nn.Flatten(),
        _linear(count, 120),
        nn.ReLU(inplace=True),
        nn.Linear(120, 84),
        nn.ReLU(inplace=True),
    ]
    return Network(nn.Sequential(*convolutions, *head), 84, classes)


def _alexnet(channels: int, classes: int, size: Size) -> Network:
    layers: list[nn.Module] = []
    inputs = channels
    plan = [(128, 5, 4 if channels == 1 else 2), (192, 5, 2), (256, 3, 1), (192, 3, 1), (192, 3, 1)]
    for block, (width, kernel, padding) in enumerate(plan):
        layers += [nn.Conv2d(inputs, width, kernel, padding=padding), nn.ReLU(inplace=True)]
        if block in (0, 1, 4):
            layers.append(nn.MaxPool2d(2))
        inputs = width
    return _sized("alexnet", nn.Sequential(*layers), channels, classes, size, 4 if channels == 1 else 8)


def _vgg11(channels: int, classes: int, size: Size) -> Network:
    layers: list[nn.Module] = []
    inputs = channels
    for width, pooled in ((64, 1), (128, 1), (256, 0), (256, 1), (512, 0), (512, 1), (512, 0), (512, 1)):
        padding = 3 if channels == 1 and not layers else 1
        layers += [nn.Conv2d(inputs, width, 3, padding=padding), _norm(width), nn.ReLU(inplace=True)]
        if pooled:
            layers.append(nn.MaxPool2d(2))
        inputs = width
    return _sized("vgg11", nn.Sequential(*layers), channels, classes, size, 28 if channels == 1 else 32)


class _Block(nn.Module):
    """The basic block of ResNet, with instance norm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            _norm(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            _norm(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), _norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _resnet18(channels: int, classes: int, size: Size) -> Network:
    if min(size) < 9:
        # Below, the last stage has one pixel, which instance norm turns into a constant.
        raise _too_small("resnet18", size, "it needs sides of 9 or more")
    layers: list[nn.Module] = [
        nn.Conv2d(channels, 64, 3, padding=1, bias=False),
        _norm(64),
        nn.ReLU(inplace=True),
    ]
    inputs = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_Block(inputs, width, stride), _Block(width, width, 1)]
        inputs = width
    # The field pools by 4 the 4 x 4 that 32 x 32 leaves; the mean over all is the same and takes any size.
    layers.append(nn.AdaptiveAvgPool2d(1))
    return Network(nn.Sequential(*layers), 512, classes)


_MAKERS: dict[str, Callable[[int, int, Size], Network]] = {
    "mlp": _mlp,
    "lenet": _lenet,
    "alexnet": _alexnet,
    "vgg11": _vgg11,
    "resnet18": _resnet18,
}
