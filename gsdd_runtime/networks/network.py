"""What every network is: features and a linear classifier; and the pieces that several families share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsdd_runtime.errors import InputError

# A linear layer above this many weights (1 GiB) is an image too large for the network, not a wish.
MAX_LINEAR_WEIGHTS = 2**28
# Groups of a group norm, as the field takes them.
GROUPS = 4

Size = tuple[int, int]


class Network(nn.Module):
    """A feature extractor and a linear classifier on the flattened features."""

    def __init__(self, features: nn.Module, count: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.classifier = linear(count, classes)

    def embed(self, x: Tensor) -> Tensor:
        """Flattened features before the classifier, ``[batch, features]``, of images ``[batch, C, H, W]``."""
        return self.features(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, classes]`` of normalised images ``[batch, C, H, W]``."""
        return self.classifier(self.embed(x))


def linear(inputs: int, outputs: int) -> nn.Linear:
    if inputs * outputs > MAX_LINEAR_WEIGHTS:
        raise InputError(
            f"images too large for this network: a layer of {inputs} x {outputs} weights; "
            "choose a deeper ConvNet or smaller images"
        )
    return nn.Linear(inputs, outputs)


def too_small(name: str, size: Size, least: str) -> InputError:
    return InputError(f"images of {size[0]}x{size[1]} are too small for {name}: {least}")


def norm(channels: int, kind: str = "instance", size: Size = (1, 1)) -> nn.Module:
    """The norm of a feature map of ``channels`` and ``size``: ``instance``, ``batch``, ``group`` or ``layer``.

    Instance norm is a group norm with one channel per group, as the field has it: no running statistics.
    """
    if kind == "instance":
        return nn.GroupNorm(channels, channels, affine=True)
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(GROUPS, channels, affine=True)
    return nn.LayerNorm([channels, *size])


def sized(name: str, features: nn.Sequential, channels: int, classes: int, size: Size, least: int) -> Network:
    """A network over ``features``, whose count is taken from a dry run of one image without arithmetic."""
    if min(size) < least:
        raise too_small(name, size, f"it needs sides of {least} or more")
    shape = shape_after(features, channels, size)
    return Network(features, shape.numel(), classes)


def shape_after(features: nn.Sequential, channels: int, size: Size) -> torch.Size:
    """Channels, height and width behind convolutions and max pools."""
    shape = list(size)
    out = channels
    for layer in features:
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            kernel, stride, padding = (
                v if isinstance(v, int) else int(v[0]) for v in (layer.kernel_size, layer.stride, layer.padding)
            )
            shape = [(side + 2 * padding - kernel) // stride + 1 for side in shape]
        elif isinstance(layer, nn.AdaptiveMaxPool2d):
            shape = list(layer.output_size)  # type: ignore[arg-type]
        if isinstance(layer, nn.Conv2d):
            out = layer.out_channels
    return torch.Size((out, *shape))


def draw_as_he(network: nn.Module) -> None:
    """Convolutions from a normal of variance 2 / (outputs x kernel), as torchvision and ResNet-AP start them."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
