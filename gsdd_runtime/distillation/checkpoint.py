"""The state of an unfinished run, in one safe file that stands beside the set to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.container import Kind, open_container, write_container

FORMAT_VERSION = 1
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
        tensors: masters (``parameter/NAME``) and optimiser state (``optimizer/NAME/KEY``).
    """

    phase: str
    step: int
    options: dict[str, Any]
    fingerprint: str
    tensors: dict[str, Tensor] = field(repr=False)

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
        }
        write_container(path, KIND, header, self.tensors)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Reads a checkpoint.

        Raises:
            InputError: the file cannot be read, is damaged, or was written by a newer version.
        """
        container = open_container(path, KIND)
        phase, step, options, fingerprint = (
            container.fields.get(name) for name in ("phase", "step", "options", "fingerprint")
        )
        if not (
            isinstance(phase, str)
            and isinstance(step, int)
            and step >= 0
            and isinstance(options, dict)
            and isinstance(fingerprint, str)
        ):
            raise InputError(f"{path}: its description is damaged: {KIND.again}")
        return cls(phase, step, options, fingerprint, container.copies())


def checkpoint_path(out: Path) -> Path:
    """``SET.safetensors`` has its checkpoint at ``SET.safetensors.checkpoint``."""
    return out.with_name(out.name + ".checkpoint")


def check_same_run(source: Path, options: dict[str, Any], fingerprint: str, ours: dict[str, Any], data: str) -> None:
    """Refuses to go on from ``source``, whose run had ``options``, with other options or other data.

    Raises:
        InputError: names the first option that differs.
    """
    for name in sorted(options.keys() | ours.keys()):
        before, now = options.get(name), ours.get(name)
        if before != now:
            raise InputError(
                f"{source} is of a run with {name} {before!r}, not {now!r}: use the same options, or choose another out"
            )
    if fingerprint != data:
        raise InputError(f"{source} is of a run on other real data: use the same dataset, or choose another out")
