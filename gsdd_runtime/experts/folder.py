"""A folder of experts, read: whatever needs the weights of trained networks asks here."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import OrderedDict
from pathlib import Path

from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.subject import Subject, zca_digest
from gsdd_runtime.experts.trajectory import About, Trajectory
from gsdd_runtime.networks import Network
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.wording import counted

_NAME = re.compile(r"trajectory-([0-9]{4,})\.safetensors")
# Files that are kept open: a process may have about a thousand.
_OPEN = 64
_ONE_KIND = "keep experts of one kind in a folder"


class ExpertFolder:
    """The experts in a folder, all of one network and trained on the same data.

    Opening it reads the headers alone; weights come from the mapped files.

    Args:
        folder: that ``gsdd-rt experts`` wrote.

    Attributes:
        path: of the folder.
        subject: the network, its parameters, the data and the preparation of its images.
        epochs: of each expert.
        about: what each file says, in order.

    Raises:
        InputError: there is no such folder, or no expert in it; a file of it is damaged, or of another network, other
            data or another number of epochs than the first one.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder)
        self._files = trajectory_files(self.path)
        if not self._files:
            raise InputError(f"{self.path} holds no experts: make some with {experts_command(self.path)}")
        self.about: list[About] = []
        self._open: OrderedDict[int, Trajectory] = OrderedDict()
        for file in self._files:
            about = Trajectory(file).about
            first = self.about[0] if self.about else about
            about.subject.check_same(first.subject, str(file), _ONE_KIND)
            if about.epochs != first.epochs:
                have = f"{file} has {counted(about.epochs, 'epoch')}, {self._files[0].name} has {first.epochs}"
                raise InputError(f"{have}: {_ONE_KIND}")
            self.about.append(about)
        self.subject: Subject = self.about[0].subject
        self.epochs: int = self.about[0].epochs

    def __len__(self) -> int:
        """The number of experts."""
        return len(self._files)

    def parameters(self, expert: int, epoch: int) -> Tensor:
        """The weights of an expert, 0 to ``len - 1``, after ``epoch`` epochs (-1 for the last): float32
        ``[parameters]`` on the CPU, a copy, in the order of ``subject.parameters``.

        Raises:
            InputError: no such expert or epoch; the file was changed or is damaged.
        """
        return self._opened(expert).parameters(epoch)

    def network(self, expert: int, epoch: int = -1) -> Network:
        """The network of an expert after ``epoch`` epochs, on the CPU, in evaluation mode.

        It takes images as ``subject`` says they are prepared.

        Raises:
            InputError: as :meth:`parameters`.
        """
        return self.subject.build(self.parameters(expert, epoch))

    @property
    def fingerprint(self) -> str:
        """``sha256:`` and the digest of what the files say: other experts, or more of them, have another."""
        text = json.dumps([about.to_fields() for about in self.about], sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    @property
    def accuracy(self) -> float | None:
        """The mean share of the real test images that the experts get right at the end; None if they were not
        tested."""
        last = [dict(about.accuracies).get(self.epochs) for about in self.about]
        known = [share for share in last if share is not None]
        return sum(known) / len(known) if known else None

    def check_fits(self, network: str, data: RealData) -> None:
        """Raises InputError unless the experts are of ``network`` and were trained on ``data``, prepared alike."""
        command = experts_command(Path("DIR"), data.name, network)
        other_network = f"give --network {self.subject.network}, or make others with {command}"
        self.subject.check_network(network, (data.height, data.width), str(self.path), other_network)
        self.subject.check_same(Subject.of(network, data), str(self.path), f"make others with {command}")

    def check_preparation(self, preparation: Preparation) -> None:
        """Raises InputError unless the experts take images as ``preparation`` makes them, for a set's, say."""
        ours = (self.subject.channels, *self.subject.size)
        if preparation.shape != ours:
            shapes = ["x".join(map(str, shape)) for shape in (ours, preparation.shape)]
            raise InputError(
                f"{self.path} is of experts for images of {shapes[0]}, {preparation.where} has {shapes[1]}"
            )
        theirs = (preparation.mean, preparation.std, zca_digest(preparation))
        if theirs != (self.subject.mean, self.subject.std, self.subject.zca):
            raise InputError(
                f"the experts in {self.path} take images with another mean and std, or whitened otherwise, than "
                f"{preparation.where}: make others on the data that it was made from"
            )

    def _opened(self, expert: int) -> Trajectory:
        if not 0 <= expert < len(self._files):
            raise InputError(f"{self.path} has experts 0 to {len(self._files) - 1}, not {expert}")
        if expert in self._open:
            self._open.move_to_end(expert)
            return self._open[expert]
        trajectory = Trajectory(self._files[expert])
        if trajectory.about != self.about[expert]:
            raise InputError(f"{trajectory.path} was replaced while the folder was in use: open it again")
        self._open[expert] = trajectory
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return trajectory


def trajectory_files(folder: Path) -> list[Path]:
    """The files of the experts in a folder, in the order of their numbers.

    Raises:
        InputError: it is no folder, or cannot be read.
    """
    try:
        found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    except OSError as error:
        raise InputError(
            f"cannot read the folder of experts {folder}: {error.strerror or error}: "
            f"make it with {experts_command(folder)}"
        ) from error
    return [path for _, path in sorted(found)]


def experts_command(folder: Path, dataset: str = "...", network: str = "...") -> str:
    """The command that makes experts, for a message."""
    return f"`gsdd-rt experts --dataset {dataset} --network {network} --out {folder}`"
