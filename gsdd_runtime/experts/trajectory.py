"""The file of one expert: its weights at the start and after every epoch, as rows of one tensor.

``TRAJECTORY.safetensors`` holds ``parameters``, float32 ``[epochs + 1, parameters]``, and one metadata key,
``gsdd_trajectory``, with JSON: format version, network and the names and shapes of its parameters, the data's name and
fingerprint, how images were prepared, how it was trained, seed and number, accuracies, versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.subject import Subject
from gsdd_runtime.sets import checks
from gsdd_runtime.sets.container import Container, Kind, open_container, write_container

FORMAT_VERSION = 1
KIND = Kind(
    name="an expert's trajectory",
    key="gsdd_trajectory",
    newest=FORMAT_VERSION,
    remedy="make some with `gsdd-rt experts`",
    again="remove it, and make it again with `gsdd-rt experts --resume`",
)
# Beside the file while the expert is trained: the epochs that are done.
UNFINISHED = Kind(
    name="an unfinished trajectory",
    key="gsdd_unfinished_trajectory",
    newest=FORMAT_VERSION,
    remedy="remove it to train this expert anew",
    again="remove it to train this expert anew",
)
PARAMETERS = "parameters"
MOMENTUM = "momentum"


@dataclass(frozen=True)
class About:
    """What a file says of its expert.

    Attributes:
        subject: its network and data.
        protocol: how it was trained, JSON values; ``epochs`` is among them.
        seed: of all experts of its run; None where it was imported.
        number: among the experts of its folder, from 0.
        accuracies: ``(epoch, share)`` of the real test images that it got right, 0 to 1, where it was tested.
        versions: of the programs.
    """

    subject: Subject
    protocol: Mapping[str, Any]
    seed: int | None
    number: int
    accuracies: tuple[tuple[int, float], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        return int(self.protocol["epochs"])

    def to_fields(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **self.subject.to_fields(),
            "protocol": dict(self.protocol),
            "seed": self.seed,
            "number": self.number,
            "accuracies": [list(pair) for pair in self.accuracies],
            "versions": dict(self.versions),
        }

    @classmethod
    def from_fields(cls, path: Path, fields: Mapping[str, Any]) -> About:
        """Of a file's description.

        Raises:
            InputError: a value is missing or of another type.
        """
        subject = Subject.from_fields(path, fields)
        protocol, seed, number = fields.get("protocol"), fields.get("seed"), fields.get("number")
        epochs = protocol.get("epochs") if isinstance(protocol, dict) else None
        if not isinstance(protocol, dict) or not checks.is_integer(epochs) or not 0 < int(str(epochs)) < 10**6:
            raise InputError(f"{path}: protocol must be a JSON object with the number of epochs: {KIND.again}")
        if not (seed is None or checks.is_integer(seed)):
            raise InputError(f"{path}: seed must be a whole number or null, got {seed!r}")
        if not checks.is_integer(number) or int(str(number)) < 0:
            raise InputError(f"{path}: number must be a whole number from 0, got {number!r}")
        pairs, versions = fields.get("accuracies"), fields.get("versions")
        if not isinstance(pairs, list) or not all(_is_accuracy(pair, int(str(epochs))) for pair in pairs):
            raise InputError(f"{path}: accuracies must be a list of pairs, an epoch and a share: {KIND.again}")
        if not isinstance(versions, dict):
            raise InputError(f"{path}: versions must be a JSON object")
        return cls(subject, protocol, seed, int(str(number)), tuple((e, a) for e, a in pairs), versions)


class Trajectory:
    """The file of an expert, opened: mapped where it is large.

    Attributes:
        path: of the file.
        about: what it says.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError where the file cannot be read, is no such file, or breaks a rule of its format."""
        container = open_container(path, KIND)
        self.path = path
        self.about = About.from_fields(path, container.fields)
        self._source = container.source
        self._rows = _rows(container, self.about.epochs + 1, self.about.subject.length)

    def parameters(self, epoch: int) -> Tensor:
        """The weights after ``epoch`` epochs, 0 to ``epochs``, or -1 for the last: float32 ``[parameters]``, a copy.

        Raises:
            InputError: no such epoch, a number that is not finite, or the file was changed meanwhile.
        """
        epochs = self.about.epochs
        if not -1 <= epoch <= epochs:
            raise InputError(f"{self.path} has epochs 0 to {epochs}, not {epoch}")
        if self._source is not None:
            self._source.check()
        row = self._rows[epoch].clone()
        if not bool(torch.isfinite(row).all()):
            raise InputError(f"{self.path}: the weights of epoch {epoch} hold a NaN or an infinity: {KIND.again}")
        return row


def save_trajectory(path: Path, about: About, rows: Tensor) -> None:
    """Writes the file of an expert whole or not at all.

    Args:
        path: of the file.
        about: what it is to say.
        rows: float32 ``[epochs + 1, parameters]`` on the CPU.

    Raises:
        InputError: it cannot be written.
    """
    write_container(path, KIND, about.to_fields(), {PARAMETERS: rows})


@dataclass(frozen=True)
class Unfinished:
    """The epochs of an expert that are done.

    Attributes:
        about: with the accuracies so far.
        rows: float32 ``[done + 1, parameters]``.
        momentum: of the optimiser, float32 ``[parameters]``; None where it has none.
    """

    about: About
    rows: Tensor
    momentum: Tensor | None

    def save(self, path: Path) -> None:
        """Writes it whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        tensors = {PARAMETERS: self.rows} | ({} if self.momentum is None else {MOMENTUM: self.momentum})
        write_container(path, UNFINISHED, self.about.to_fields(), tensors)

    @classmethod
    def load(cls, path: Path, *, momentum: bool | None) -> Unfinished:
        """Reads it.

        Raises:
            InputError: it cannot be read, is damaged, or has no momentum where ``momentum`` says that it must; None
                takes it either way.
        """
        container = open_container(path, UNFINISHED)
        about = About.from_fields(path, container.fields)
        tensors = container.copies()
        if momentum is None:
            momentum = MOMENTUM in tensors
        expected = {PARAMETERS, MOMENTUM} if momentum else {PARAMETERS}
        rows, speed = tensors.get(PARAMETERS), tensors.get(MOMENTUM)
        length = about.subject.length
        if (
            set(tensors) != expected
            or rows is None
            or rows.dim() != 2
            or not 1 <= len(rows) <= about.epochs + 1
            or any(tensor.dtype != torch.float32 or tensor.shape[-1] != length for tensor in tensors.values())
            or (speed is not None and speed.dim() != 1)
        ):
            raise InputError(f"{path} does not hold the epochs of an expert: {UNFINISHED.again}")
        return cls(about, rows, speed)


def trajectory_path(folder: Path, number: int) -> Path:
    """``DIR/trajectory-0003.safetensors`` is that of expert 3."""
    return folder / f"trajectory-{number:04}.safetensors"


def unfinished_path(path: Path) -> Path:
    """Where the epochs that are done stand until the file of the expert is written."""
    return path.with_name(path.name + ".checkpoint")


def _rows(container: Container, count: int, length: int) -> Tensor:
    path = container.path
    if set(container.dtypes) != {PARAMETERS}:
        names = ", ".join(ascii(name) for name in sorted(container.dtypes)) or "none"
        raise InputError(f"{path}: the tensors must be {PARAMETERS!r} alone, got {names}: {KIND.again}")
    rows = container.tensors()[PARAMETERS]
    if container.dtypes[PARAMETERS] != "F32" or tuple(rows.shape) != (count, length):
        raise InputError(
            f"{path}: {PARAMETERS} must be F32 [{count}, {length}], got {container.dtypes[PARAMETERS]} "
            f"{list(rows.shape)}: {KIND.again}"
        )
    return rows


def _is_accuracy(pair: Any, epochs: int) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and checks.is_integer(pair[0])
        and 0 <= pair[0] <= epochs
        and checks.is_number(pair[1])
        and 0 <= pair[1] <= 1
    )
