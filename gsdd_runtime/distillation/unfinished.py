"""What another process can see of a run: its log, whether it lives, and its images as of its last checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.journal import Record
from gsdd_runtime.distillation.representations.gaussian import LEARNING_RATE_SHARES
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet

ENDS = ("end", "stopped", "failed")


def has_ended(records: Sequence[Record], out: Path) -> bool:
    """Whether the run that writes ``out`` goes on no more: by its log, or because its process is gone."""
    if records and records[-1]["record"] in ENDS:
        return True
    owner = 0
    # The lock names its process, and outlives one that was killed.
    with suppress(OSError, ValueError):
        owner = int(out.with_name(f".{out.name}.lock").read_text())
    if owner <= 0:
        return True
    try:
        os.kill(owner, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def set_of_checkpoint(path: Path, records: Sequence[Record]) -> DistilledSet | None:
    """The set as its run's last checkpoint has it, as it is trained and before any coding.

    Args:
        path: of the checkpoint.
        records: of the run's log, which tells the images' size and classes.

    Returns:
        None where there is no checkpoint or it holds other images than Gaussians and pixels.
    """
    start = next((one for one in records if one["record"] == "start"), {})
    data = start.get("data", {})
    try:
        checkpoint = Checkpoint.load(path)
        height, width = int(data["height"]), int(data["width"])
        names = [str(name) for name in data["class_names"]]
        stored = _stored(checkpoint.tensors)
        labels = torch.arange(len(names)).repeat_interleave(int(checkpoint.options["gpc"]))
        facts = {name: checkpoint.options.get(name) for name in ("method", "ipc", "gpc", "seed")}
        return DistilledSet(
            stored.get("gaussians"), labels, height, width, pixels=stored.get("pixels"), class_names=names,
            options=checkpoint.options, fingerprint=checkpoint.fingerprint, **facts,
        )  # fmt: skip
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _stored(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    masters = {name.removeprefix("parameter/"): value for name, value in tensors.items()}
    if "pixels" in masters:
        return {"pixels": masters["pixels"].bfloat16()}
    return {"gaussians": torch.cat([masters[name] for name in LEARNING_RATE_SHARES], dim=-1).bfloat16()}
