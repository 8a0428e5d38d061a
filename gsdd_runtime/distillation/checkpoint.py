"""The state of an unfinished run, in one safe file that stands beside the set to be written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from gsdd_runtime.distillation.division import Division
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.container import Container, Kind, open_container, write_container
from gsdd_runtime.sets.streamed import Tensors

FORMAT_VERSION = 2
METADATA_KEY = "gsdd_checkpoint"
KIND = Kind(
    name="a checkpoint",
    key=METADATA_KEY,
    newest=FORMAT_VERSION,
    remedy="remove it to start anew",
    again="remove it to start anew",
)


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands.

    Attributes:
        phase: name of the phase that is under way.
        step: steps of the phase that are done.
        options: the resolved options of the run, as JSON values.
        fingerprint: of the real data.
        history: what was changed when the run was resumed, as JSON values.
        tensors: masters (``parameter/NAME``), what is learned (``learned/NAME``), what optimisers keep of both
            (``optimizer/NAME/KEY``), of the representation (``buffer/NAME``) and of the objective
            (``objective/NAME``).
    """

    phase: str
    step: int
    options: dict[str, Any]
    fingerprint: str
    tensors: dict[str, Any] = field(repr=False)
    history: list[Any] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all; an earlier checkpoint stays until then.

        Raises:
            InputError: it cannot be written.
        """
        header = {
            "phase": self.phase,
            "step": self.step,
            "options": self.options,
            "fingerprint": self.fingerprint,
            "history": self.history,
        }
        write_container(path, KIND, header, self.tensors)

    @classmethod
    def load(cls, path: Path, division: Division | None = None) -> Checkpoint:
        """Reads a checkpoint.

        Args:
            path: of the file.
            division: of the images over the processes of the run: those of this one are taken.

        Raises:
            InputError: the file cannot be read, is damaged, or was written by a newer version.
        """
        container = open_container(path, KIND)
        described = cls._described(container)
        return replace(described, tensors=container.copies(None if division is None else partial(_rows, division)))

    @classmethod
    def described(cls, path: Path) -> Checkpoint:
        """As :meth:`load`, without the tensors: of a large file the header alone is read."""
        return cls._described(open_container(path, KIND))

    @classmethod
    def _described(cls, container: Container) -> Checkpoint:
        path = container.path
        if container.fields["format_version"] < FORMAT_VERSION:
            raise InputError(f"{path} was written by an older gsdd-rt: go on with that one, or {KIND.remedy}")
        phase, step, options, fingerprint, history = (
            container.fields.get(name) for name in ("phase", "step", "options", "fingerprint", "history")
        )
        if not (
            isinstance(phase, str)
            and isinstance(step, int)
            and step >= 0
            and isinstance(options, dict)
            and isinstance(fingerprint, str)
            and isinstance(history, list)
        ):
            raise InputError(f"{path}: its description is damaged: {KIND.again}")
        return cls(phase, step, options, fingerprint, {}, history)


class CheckpointWriter:
    """Writes the state of a run to one path, when it is due.

    Args:
        path: of the file.
        options: the resolved options of the run, as JSON values.
        fingerprint: of the real data.
        interval: steps of a phase between two checkpoints.
        seconds: after which a checkpoint is due in any case.
        history: of the run's resumptions.
        clock: tells the time in seconds.
    """

    def __init__(
        self,
        path: Path,
        options: dict[str, Any],
        fingerprint: str,
        interval: int,
        seconds: float,
        history: list[Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._options = options
        self._fingerprint = fingerprint
        self._interval = interval
        self._seconds = seconds
        self._history = history or []
        self._clock = clock
        self._last = clock()

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after ``step`` steps of a phase."""
        return step % self._interval == 0 or self._clock() - self._last >= self._seconds

    def write(self, phase: str, step: int, tensors: Tensors) -> None:
        """The state after ``step`` steps of ``phase``."""
        Checkpoint(phase, step, self._options, self._fingerprint, dict(tensors), self._history).save(self.path)
        self._last = self._clock()


def _rows(division: Division, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows of this process in masters, and in what an optimiser keeps of each of their numbers."""
    rows = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        part = rest.partition("/")[0]
        of_masters = kind in ("parameter", "optimizer") and f"parameter/{part}" in tensors
        if of_masters and tensor.dim() > 0 and len(tensor) == division.images:
            rows[name] = division.held
    return rows


def checkpoint_path(out: Path) -> Path:
    """``SET.safetensors`` has its checkpoint at ``SET.safetensors.checkpoint``."""
    return out.with_name(out.name + ".checkpoint")
