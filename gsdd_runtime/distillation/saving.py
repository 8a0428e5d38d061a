"""Where a run writes, and what it finds there: an unfinished run, a finished set, a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.journal import Record, is_log, last_of, read_log
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.resuming import check_same_run
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet


@dataclass(frozen=True)
class Saving:
    """Where a run writes, and when.

    Attributes:
        out: the file; None to write nothing.
        resume: go on from the checkpoint, where there is one.
        overwrite: replace what ``out`` and its log are before.
        checkpoint_interval: steps between checkpoints.
        checkpoint_seconds: after which one is written in any case.
    """

    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    checkpoint_interval: int = 100
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.checkpoint_interval < 1:
            raise InputError(f"checkpoint_interval must be at least 1, got {self.checkpoint_interval}")
        if not self.checkpoint_seconds > 0:
            raise InputError(f"checkpoint_seconds must be above 0, got {self.checkpoint_seconds}")
        if self.resume and self.out is None:
            raise InputError("resume needs out: the checkpoint stands beside that file")

    def earlier_checkpoint(self, path: Path, division: Division | None) -> Checkpoint | None:
        """The state to go on from; where images are divided, with this process's.

        Raises:
            InputError: there is one, and it was not said that the run is to go on.
        """
        if not path.exists():
            return None
        if not self.resume:
            raise InputError(
                f"{path} holds an unfinished run: add --resume to go on with it, or remove it to start anew"
            )
        return Checkpoint.load(path, division)

    def earlier_set(self, options: ResolvedOptions, out: Path, *, unfinished: bool) -> DistilledSet | None:
        """The set of this run where it had ended before it was to be resumed; None where ``out`` may be written."""
        if not out.exists():
            return None
        taken = InputError(f"{out} exists: add --overwrite to replace it, or choose another place")
        if not self.resume:
            if self.overwrite:
                return None
            raise taken
        try:
            finished = DistilledSet.load(out)
            check_same_run(out, finished.options or {}, finished.fingerprint or "", options)
        except InputError as error:
            if self.overwrite:
                return None
            raise taken if unfinished else error from error
        # With a checkpoint beside it, the run was killed between writing the one and removing the other.
        return None if unfinished else finished

    def earlier_log(self, path: Path) -> list[Record]:
        """The records of the run that goes on; none where it starts anew.

        The log of a run that came to nothing, neither a set nor a checkpoint, is replaced.

        Raises:
            InputError: there is a file that may not be replaced.
        """
        if not path.exists():
            return []
        records = read_log(path) if is_log(path) else None
        if records is not None and (self.resume or last_of(records, "end") is None):
            return records
        if not self.overwrite:
            raise InputError(f"{path} exists: add --overwrite to replace it, or choose another place")
        return []
