"""What all experts of a folder share: the network, the data that it learned from, and how its images were prepared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gsdd_runtime import networks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Network, Size
from gsdd_runtime.networks.size_guard import at_most
from gsdd_runtime.sets import checks
from gsdd_runtime.sets.preparation import Preparation

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Subject:
    """The network and the data of an expert.

    Attributes:
        network: as ``networks.build`` takes it.
        channels, classes, height, width: of the images and labels.
        class_names: one a class.
        parameters: name and shape of each parameter of the network, in the order of the vectors.
        dataset, fingerprint: of the real data.
        mean, std: a number a channel, in pixel units [0, 1].
        zca: ``sha256:`` and the digest of the whitening matrix that takes their place; None where there is none.
    """

    network: str
    channels: int
    classes: int
    height: int
    width: int
    class_names: tuple[str, ...]
    parameters: Shapes
    dataset: str
    fingerprint: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    zca: str | None

    @classmethod
    def of(cls, network: str, data: RealData) -> Subject:
        """Of experts trained on ``data``.

        Raises:
            InputError: a network that is not known, cannot take the images, or has running statistics.
        """
        size = (data.height, data.width)
        preparation = data.preparation
        return cls(
            network, data.channels, data.classes, *size, data.class_names,
            shapes_of(network, data.channels, data.classes, size), data.name, data.fingerprint,
            preparation.mean, preparation.std, zca_digest(preparation),
        )  # fmt: skip

    @property
    def size(self) -> Size:
        """Height and width of the images."""
        return self.height, self.width

    @property
    def length(self) -> int:
        """Numbers of a vector of all parameters."""
        return sum(torch.Size(shape).numel() for _, shape in self.parameters)

    def unflattened(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of ``vector`` ``[parameters]`` by the names of the network's parameters."""
        parts = vector.split([torch.Size(shape).numel() for _, shape in self.parameters])
        return {name: part.view(shape) for (name, shape), part in zip(self.parameters, parts, strict=True)}

    def build(self, vector: Tensor | None = None) -> Network:
        """The network on the CPU, in evaluation mode, with the weights of ``vector``, or without memory for any."""
        with torch.device("meta"):
            network = networks.build(self.network, self.channels, self.classes, self.size, seed=0)
        if vector is not None:
            network.load_state_dict(self.unflattened(vector.clone()), assign=True)
        return network.eval()

    def to_fields(self) -> dict[str, Any]:
        """As JSON values."""
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {**listed, "parameters": [[name, list(shape)] for name, shape in self.parameters]}

    @classmethod
    def from_fields(cls, path: Path, fields: Mapping[str, Any]) -> Subject:
        """Of the description of a file.

        Raises:
            InputError: a value is missing or of another type, or the network has other parameters by now.
        """
        where = str(path)
        for name in ("channels", "classes", "height", "width"):
            if not checks.is_integer(fields.get(name)):
                raise InputError(f"{where}: {name} must be a whole number, got {fields.get(name)!r}")
        for name in ("network", "dataset", "fingerprint"):
            if not isinstance(fields.get(name), str):
                raise InputError(f"{where}: {name} must be a text, got {fields.get(name)!r}")
        zca = fields.get("zca")
        if zca is not None and not isinstance(zca, str):
            raise InputError(f"{where}: zca must be a digest or null, got {zca!r}")
        checks.check_class_names(where, fields.get("class_names"), fields["classes"])
        checks.check_normalization(where, fields.get("mean"), fields.get("std"), fields["channels"])
        size = (fields["height"], fields["width"])
        try:
            with at_most(os.path.getsize(path), where, fields["network"]):
                expected = shapes_of(fields["network"], fields["channels"], fields["classes"], size)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        if fields.get("parameters") != [[name, list(shape)] for name, shape in expected]:
            raise InputError(
                f"{where}: its parameters are not those of {fields['network']} here: "
                "it was made by another version of gsdd-rt; make the experts again"
            )
        return cls(
            fields["network"], fields["channels"], fields["classes"], *size, tuple(fields["class_names"]), expected,
            fields["dataset"], fields["fingerprint"], _tuple(fields.get("mean")), _tuple(fields.get("std")), zca,
        )  # fmt: skip

    def check_same(self, other: Subject, where: str, remedy: str) -> None:
        """Raises InputError unless ``where``, whose subject this is, is of the network, data and preparation of
        ``other``."""
        self.check_network(other.network, other.size, where, remedy)
        if self.fingerprint != other.fingerprint:
            raise InputError(
                f"{where} is of experts on other real data ({self.dataset}, {_short(self.fingerprint)}), not "
                f"of {other.dataset} ({_short(other.fingerprint)}): {remedy}"
            )
        if (self.mean, self.std, self.zca) != (other.mean, other.std, other.zca):
            raise InputError(
                f"{where} is of experts whose images were {self._prepared}, not {other._prepared}: {remedy}"
            )

    def check_network(self, network: str, size: Size, where: str, remedy: str) -> None:
        """Raises InputError unless ``where`` is of experts of that network for images of that size."""
        if (self.network, self.size) != (network, tuple(size)):
            raise InputError(
                f"{where} is of experts of {self.network} for {self.height}x{self.width}, "
                f"not of {network} for {size[0]}x{size[1]}: {remedy}"
            )

    @property
    def _prepared(self) -> str:
        if self.zca is not None:
            return f"whitened (zca {self.zca[:15]})"
        return "prepared with mean " + ", ".join(f"{value:.4f}" for value in self.mean or ())


def shapes_of(network: str, channels: int, classes: int, size: Size) -> Shapes:
    """Name and shape of each parameter of a network, without memory for any.

    Raises:
        InputError: the network is not known, cannot take the images, or has running statistics (batch norm), which
            a vector of parameters does not hold.
    """
    with torch.device("meta"):
        built: nn.Module = networks.build(network, channels, classes, size, seed=0)
    if any(True for _ in built.buffers()):
        raise InputError(
            f"{network} keeps running statistics, which experts do not hold: choose one with instance norm"
        )
    return tuple((name, tuple(parameter.shape)) for name, parameter in built.named_parameters())


def flattened(network: nn.Module) -> Tensor:
    """All parameters of a network as one float32 vector ``[parameters]``, a copy, on the CPU."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()]).to("cpu", copy=True)


def zca_digest(preparation: Preparation) -> str | None:
    """``sha256:`` and the digest of the whitening matrix, or None where there is none."""
    if preparation.zca is None:
        return None
    matrix = preparation.zca.detach().cpu().contiguous()
    return f"sha256:{hashlib.sha256(matrix.numpy().data).hexdigest()}"


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _short(fingerprint: str) -> str:
    return fingerprint.rpartition(":")[2][:8]
