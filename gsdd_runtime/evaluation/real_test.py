"""Testing a network on real images: whether it can be, and what a result tells of them."""

from __future__ import annotations

from typing import Any

from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Size
from gsdd_runtime.networks.model_file import TrainedModel
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.wording import counted


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
