"""A small distilling run in a process of its own, for test_distill_resume.py to interrupt."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from distill_data import SMALL, blobs

from gsdd_runtime.distillation import Interrupted, distill
from gsdd_runtime.errors import InputError


def run(out: Path, resume: bool, pipe: Connection, options: dict[str, Any]) -> None:
    """Sends ``"PHASE STEP"`` after every step, then the message of an error if there is one; exits like the command."""
    torch.set_num_threads(1)
    try:
        distill(
            blobs(),
            device="cpu",
            out=out,
            resume=resume,
            checkpoint_interval=5,
            progress=lambda report: pipe.send(f"{report.phase} {report.step}"),
            **{**SMALL, **options},  # type: ignore[arg-type]
        )
    except Interrupted as stop:
        pipe.send(str(stop))
        sys.exit(130)
    except InputError as error:
        pipe.send(str(error))
        sys.exit(2)
