"""The state of an unfinished run, in one safe file that stands beside the set to be written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.errors import InputError

FORMAT_VERSION = 1
METADATA_KEY = "gsdd_checkpoint"


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
            "format": FORMAT_VERSION,
            "phase": self.phase,
            "step": self.step,
            "options": self.options,
            "fingerprint": self.fingerprint,
        }
        payload = save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()},
            metadata={METADATA_KEY: json.dumps(header, sort_keys=True)},
        )
        with atomic_path(path) as temporary:
            temporary.write_bytes(payload)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Reads a checkpoint.

        Raises:
            InputError: the file is damaged, or was written by a newer version.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[METADATA_KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            version, phase, step = header["format"], header["phase"], header["step"]
            options, fingerprint = header["options"], header["fingerprint"]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a readable checkpoint ({error}): remove it to start anew") from error
        if version != FORMAT_VERSION:
            raise InputError(
                f"{path} has checkpoint format {version!r}, this version reads {FORMAT_VERSION}: "
                "go on with the version that wrote it, or remove it to start anew"
            )
        if not (isinstance(phase, str) and isinstance(step, int) and step >= 0 and isinstance(options, dict)):
            raise InputError(f"{path} is not a readable checkpoint (its header is damaged): remove it to start anew")
        return cls(phase, step, options, fingerprint, tensors)


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


def remove_partial_files(out: Path) -> None:
    """Removes what a killed run may have left of a half-written set or checkpoint."""
    for partial in out.parent.glob(f".{out.name}*.partial"):
        partial.unlink(missing_ok=True)
