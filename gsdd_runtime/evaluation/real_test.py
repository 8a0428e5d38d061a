"""Testing a network on real images: whether it can be, and the share that it gets right."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gsdd_runtime.datasets import RealData
from gsdd_runtime.devices import send
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Size
from gsdd_runtime.networks.model_file import TrainedModel
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.wording import counted

_BATCH = 256


class RealTest:
    """The test images of real data, as a network takes them.

    Args:
        preparation: that makes the network's input.
        data: its test part.
        device: of the networks.
    """

    def __init__(self, preparation: Preparation, data: RealData, device: torch.device) -> None:
        self._preparation = preparation.to(device)
        self._images = data.test_images
        self._labels = data.test_labels
        self._device = device

    @torch.no_grad()
    def accuracy(self, network: nn.Module) -> float:
        """The share of the test images, from 0 to 1, that ``network`` gets right."""
        network.eval()
        right = torch.zeros((), dtype=torch.int64, device=self._device)
        pairs = zip(self._images.split(_BATCH), self._labels.split(_BATCH), strict=True)
        for images, labels in pairs:
            prepared = self._preparation.apply(send(images, self._device).float() / 255)
            right += (network(prepared).argmax(dim=1) == send(labels, self._device)).sum()
        return int(right) / len(self._labels)


def check_fit(source: DistilledSet | TrainedModel, data: RealData, size: Size, *, what: str = "set") -> None:
    """Raises InputError unless a network trained on ``source`` at ``size`` can be tested on the data.

    ``what`` says what ``source`` is, for messages.
    """
    for noun, ours, theirs in (
        ("channel", source.channels, data.channels),
        ("class", source.classes, data.classes),
    ):
        if ours != theirs:
            raise InputError(
                f"the {what} has {counted(ours, noun)}, the dataset {data.name} has {theirs}: "
                f"test on the data that the {what} was made from"
            )
    names = source.class_names
    if names is not None and tuple(names) != tuple(data.class_names):
        first = next(i for i, (a, b) in enumerate(zip(names, data.class_names, strict=True)) if a != b)
        raise InputError(
            f"class {first} is {names[first]!r} in the {what} and {data.class_names[first]!r} in {data.name}: "
            f"test on the data that the {what} was made from"
        )
    if tuple(size) != (data.height, data.width):
        raise InputError(
            f"the {what}'s images are {size[0]}x{size[1]}, those of {data.name} {data.height}x{data.width}: "
            f"give the size {size[0]}x{size[1]}, or {data.height}x{data.width}, for both"
        )
    if len(data.test_labels) == 0:
        raise InputError(f"{data.name} has no test images: there is nothing to test on")


def data_facts(data: RealData) -> dict[str, Any]:
    """What a result tells of the data that it was tested on."""
    return {"name": data.name, "test_images": len(data.test_labels), "fingerprint": data.fingerprint}
