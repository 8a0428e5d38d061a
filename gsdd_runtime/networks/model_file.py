"""The file of a trained network: one ``.safetensors`` with its weights and what they need to be used.

Weights are tensors by the names of the state dict; one metadata key, ``gsdd_model``, holds JSON: format version,
network, channels, classes, height, width, class names, mean and std of the images it takes, training facts. Where the
set whitens, its matrix is the tensor ``zca``: without it the network could not be used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gsdd_runtime import networks
from gsdd_runtime.atomic import check_not_read, check_place, check_room
from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.networks import Network, Size
from gsdd_runtime.networks.outside import check_named_by_file, permit, without_file
from gsdd_runtime.networks.size_guard import at_most
from gsdd_runtime.sets import checks
from gsdd_runtime.sets.container import Container, Kind, description_text, open_container, write_container
from gsdd_runtime.sets.distilled_set import DistilledSet, check_distilled_set
from gsdd_runtime.sets.preparation import Preparation

FORMAT_VERSION = 1
METADATA_KEY = "gsdd_model"
KIND = Kind(
    name="a trained network of gsdd-rt",
    key=METADATA_KEY,
    newest=FORMAT_VERSION,
    remedy="make one with `gsdd-rt train`",
    again="copy it again, or train again",
)
# As safetensors spells what networks have: weights, and the count of batches of a batch norm.
_DTYPES = {torch.float32: "F32", torch.int64: "I64"}
# Name of the whitening matrix among the weights, whose own names have a dot.
ZCA = "zca"


@dataclass(frozen=True)
class TrainedModel:
    """A network read from a file.

    Attributes:
        network: on the CPU, in evaluation mode. It takes images ``[batch, C, H, W]`` as ``preparation`` makes them.
        name: of the architecture, as ``networks.build`` takes it.
        channels: ``C`` of the images.
        classes: of its outputs, ``[batch, classes]``.
        size: height and width of the images.
        class_names: or None where the set had none.
        mean, std: a number a channel, in pixel units [0, 1].
        zca: the set's whitening matrix, which takes their place; or None.
        training: how it was trained, as far as it was told.
    """

    network: Network
    name: str
    channels: int
    classes: int
    size: Size
    class_names: tuple[str, ...] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    zca: Tensor | None
    training: dict[str, Any]

    @property
    def preparation(self) -> Preparation:
        """What makes the network's input of images in pixel units: ``network(preparation.apply(images))``."""
        return Preparation(f"the network {self.name}", (self.channels, *self.size), self.mean, self.std, self.zca)

    def logits(self, images: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of images in pixel units [0, 1], floats ``[B, C, H, W]``, on the network's device.

        Raises:
            InputError: images of another shape or type, or a network whose file does not say how to prepare them.
        """
        check_type("images", images, Tensor, "a torch.Tensor", "convert them with torch.as_tensor")
        shape = (self.channels, *self.size)
        if images.dim() != 4 or images.shape[1:] != shape or not images.is_floating_point():
            kind = f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
            raise InputError(
                f"the network {self.name} takes images [B, {shape[0]}, {shape[1]}, {shape[2]}] of floats "
                f"in [0, 1], got {kind}: scale them, and divide bytes by 255"
            )
        logits: Tensor = self.network(self.preparation.apply(images.float()))
        return logits


def model_description(model: TrainedModel) -> dict[str, Any]:
    """Facts by name, all of them JSON values."""
    return {
        "network": model.name,
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "channels": model.channels,
        "height": model.size[0],
        "width": model.size[1],
        "classes": model.classes,
        "class_names": _listed(model.class_names),
        "mean": _listed(model.mean),
        "std": _listed(model.std),
        "zca": model.zca is not None,
        "training": model.training,
    }


def save_model(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    network: str,
    distilled_set: DistilledSet,
    size: Size | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Writes a network trained on ``distilled_set``, whole or not at all.

    Args:
        model: made by ``networks.build(network, ...)`` or ``training.train``.
        path: of the file.
        network: the name it was built by.
        distilled_set: it was trained on.
        size: height and width it was trained at; the set's own if None.
        training: facts to keep, JSON values.

    Raises:
        InputError: the facts cannot be written as JSON, the set's ``zca`` is for another size, ``path`` is that of the
            set, or the file cannot be written.
    """
    check_type("model", model, nn.Module, "a torch.nn.Module", "train one with gsdd_runtime.training.trainer.train")
    check_distilled_set(distilled_set)
    facts = _facts(network, distilled_set, size, training)
    tensors = {**model.state_dict(), **_preparation_tensors(facts, distilled_set)}
    write_container(path, KIND, facts, tensors, inputs=[distilled_set.path])


def check_saving(
    path: str | os.PathLike[str],
    *,
    network: str,
    distilled_set: DistilledSet,
    size: Size | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Before a network is trained: raises InputError where :func:`save_model` would, for want of room too."""
    facts = _facts(network, distilled_set, size, training)
    text = description_text(KIND, facts)
    with torch.device("meta"):
        model = networks.build(network, facts["channels"], facts["classes"], (facts["height"], facts["width"]), seed=0)
    tensors = {**model.state_dict(), **_preparation_tensors(facts, distilled_set)}
    check_place(path)
    check_not_read(path, [distilled_set.path])
    check_room(path, len(text) + sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))


def _preparation_tensors(facts: Mapping[str, Any], distilled_set: DistilledSet) -> dict[str, Tensor]:
    """The matrix that whitens what the network takes, where the set has one."""
    preparation = distilled_set.preparation
    if preparation.zca is None:
        return {}
    preparation.for_size(facts["height"], facts["width"])
    return {ZCA: preparation.zca}


def _facts(
    network: str, distilled_set: DistilledSet, size: Size | None, training: Mapping[str, Any] | None
) -> dict[str, Any]:
    height, width = (distilled_set.height, distilled_set.width) if size is None else size
    return {
        "network": without_file(network),
        "channels": distilled_set.channels,
        "classes": distilled_set.classes,
        "height": height,
        "width": width,
        "class_names": _listed(distilled_set.class_names),
        "mean": _listed(distilled_set.mean),
        "std": _listed(distilled_set.std),
        "training": {
            "data_fingerprint": distilled_set.fingerprint,
            **(training or {}),
        },
    }


def load_model(
    path: str | os.PathLike[str], *, network: str | None = None, naming: str = "--network {}"
) -> TrainedModel:
    """Reads a file that :func:`save_model` wrote.

    Args:
        path: of the file.
        network: for one of your own code, ``module:Class``: its name again, since no code is run because a file
            names it.
        naming: how the user would give that name, for a message.

    Raises:
        InputError: it cannot be read, is no such file, is of a newer format, or its weights do not fit its network;
            or it names code of yours and ``network`` does not.
        GsddError: timm, which has its network, is not installed.
    """
    container = open_container(path, KIND)
    facts = _checked(container.path, container.fields)
    check_named_by_file(path, facts["network"], network, naming)
    permit(network)
    size = (facts["height"], facts["width"])
    # Without memory for its weights: they are those of the file, once it is known that they fit.
    with torch.device("meta"):
        try:
            with at_most(os.path.getsize(container.path), path, facts["network"]):
                model = networks.build(facts["network"], facts["channels"], facts["classes"], size, seed=0)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        expected = model.state_dict()
        if ZCA in container.dtypes:
            length = facts["channels"] * size[0] * size[1]
            expected[ZCA] = torch.empty(length + 1, length)
    weights = _weights(container, expected)
    zca = weights.pop(ZCA, None)
    model.load_state_dict(weights, assign=True)
    return TrainedModel(
        network=model.eval(),
        name=facts["network"],
        channels=facts["channels"],
        classes=facts["classes"],
        size=size,
        class_names=_tuple(facts["class_names"]),
        mean=_tuple(facts["mean"]),
        std=_tuple(facts["std"]),
        zca=zca,
        training=facts["training"],
    )


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)


def _checked(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    for name in ("channels", "classes", "height", "width"):
        if not checks.is_integer(facts.get(name)):
            raise InputError(f"{path}: {name} must be a whole number, got {facts.get(name)!r}")
    if not isinstance(facts.get("network"), str):
        raise InputError(f"{path}: network must be a name, got {facts.get('network')!r}")
    for name in ("class_names", "mean", "std"):
        facts.setdefault(name, None)
    if facts["class_names"] is not None:
        checks.check_class_names(str(path), facts["class_names"], facts["classes"])
    checks.check_normalization(str(path), facts["mean"], facts["std"], facts["channels"])
    if not isinstance(facts.setdefault("training", {}), dict):
        raise InputError(f"{path}: training must be a JSON object")
    return facts


def _weights(container: Container, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    path = container.path
    names = set(container.dtypes)
    if names != set(expected):
        odd = min(names ^ set(expected))
        raise InputError(
            f"{path}: tensor {odd!a} is {'unexpected' if odd in names else 'missing'}: the file is damaged"
        )
    weights = container.copies()
    for name, tensor in expected.items():
        stored = weights[name]
        if stored.shape != tensor.shape or stored.dtype != tensor.dtype:
            raise InputError(
                f"{path}: tensor {name} must be {_DTYPES.get(tensor.dtype, tensor.dtype)} {list(tensor.shape)}, "
                f"got {container.dtypes[name]} {list(stored.shape)}: the file is damaged"
            )
        if stored.is_floating_point() and not bool(torch.isfinite(stored).all()):
            raise InputError(f"{path}: tensor {name} holds a NaN or an infinity: train again")
    return weights
