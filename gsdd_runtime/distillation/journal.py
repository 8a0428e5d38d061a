"""The log of a run, beside the set: one JSON record a line, written whole, so that a kill costs half a line at most."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.devices import peak_device_memory
from gsdd_runtime.distillation.watching import Moment
from gsdd_runtime.errors import InputError, reading
from gsdd_runtime.memory import resident_memory

# Between two records of steps.
SECONDS = 5.0
# What a record tells of besides a step, by its field ``record``.
STEP, FITTED = "step", "fitted"

Record = dict[str, Any]


def read_log(path: str | os.PathLike[str]) -> list[Record]:
    """The records of a log, in order. A last line that was torn off is left out.

    Raises:
        InputError: the file cannot be read, or is no log.
    """
    with reading(path):
        lines = Path(path).read_bytes().split(b"\n")
    # A whole line ends, so that what follows the last end is torn, or nothing.
    records = [_parsed(line) for line in lines[:-1]]
    if not all(records):
        raise InputError(f"{path} is not the log of a run: line {records.index(None) + 1} is no record")
    return [record for record in records if record]


def is_log(path: Path) -> bool:
    """Whether the file holds a log and nothing else."""
    try:
        return bool(read_log(path)) or path.stat().st_size == 0
    except (InputError, OSError):
        return False


def up_to(records: Iterable[Record], phases: Sequence[str], phase: str, step: int) -> list[Record]:
    """The records that a run which goes on after ``step`` steps of ``phase`` will not write again.

    Args:
        records: of the log so far.
        phases: names of the run's phases, in order.
        phase, step: where it goes on.
    """
    here = (phases.index(phase), step)

    def done(record: Record) -> bool:
        # What became of the run stays; what it did is done again.
        if not isinstance(record.get("step"), int) or record["record"] in ("resume", "stopped", "failed"):
            return True
        return record.get("phase") in phases and (phases.index(record["phase"]), record["step"]) <= here

    return [record for record in records if done(record)]


class Journal:
    """Writes a log. What stood there before is replaced, by ``earlier`` records where there are any.

    Args:
        path: of the log.
        earlier: records of the run so far.
        seconds: between two records of steps; the first and the last of a phase have one in any case.
        clock: tells seconds.

    Attributes:
        records: all that the log holds.
        listeners: told of each record that is written.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        earlier: Sequence[Record] = (),
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.records = list(earlier)
        self._seconds = seconds
        self._clock = clock
        self._began = clock()
        self._pace: _Pace | None = None
        self.listeners: list[Callable[[Record], None]] = []
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"".join(_line(record) for record in earlier))
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, kind: str, **fields: Any) -> None:
        """One record of ``kind``; its time and the seconds since this process began the run are added.

        Raises:
            InputError: it cannot be written.
        """
        passed = round(self._clock() - self._began, 3)
        record = {"record": kind, "time": _now(), "seconds": passed, **fields}
        line = _line(record)
        size = os.fstat(self._file).st_size
        try:
            # In one piece: a reader, or a kill, meets whole lines.
            if os.write(self._file, line) < len(line):
                raise OSError(None, "the disk is full")
        except OSError as error:
            # Half a line may be there, which the next one would follow.
            with suppress(OSError):
                os.ftruncate(self._file, size)
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from error
        self.records.append(json.loads(line))
        for listener in self.listeners:
            listener(self.records[-1])

    def saw(self, moment: Moment) -> None:
        """Notes a step where a record is due."""
        now = self._clock()
        if self._pace is None or self._pace.phase != moment.phase:
            self._pace = _Pace(moment.phase, now)
            first = True
        else:
            first = False
            self._pace.steps += 1
            self._pace.images += moment.images
        self._pace.sharing += moment.sharing or 0.0
        self._pace.seen += 1
        pace = self._pace
        if not (first or moment.step == moment.total or now - pace.told >= self._seconds):
            return
        passed = now - pace.began
        rate = pace.steps / passed if passed > 0 else 0.0
        pace.told = now
        shared = {} if moment.sharing is None else {"all_reduce_seconds": pace.sharing / pace.seen}
        self.write(
            STEP,
            phase=moment.phase,
            step=moment.step,
            total=moment.total,
            loss=moment.loss,
            parts=dict(moment.parts),
            learned=moment.learned_values(),
            learning_rate=moment.learning_rate,
            steps_per_second=rate or None,
            images_per_second=pace.images / passed if rate else None,
            **shared,
            memory_bytes=resident_memory(),
            device_memory_bytes=peak_device_memory(),
            seconds_left=(moment.total - moment.step) / rate if rate else None,
        )

    def total_seconds(self) -> float:
        """That the run has taken so far: what each process took to its last record that counts, added up."""
        total = last = 0.0
        for record in self.records:
            if record["record"] in ("start", "resume"):
                total += last
            last = float(record["seconds"])
        return round(total + self._clock() - self._began, 3)

    def close(self) -> None:
        """Lets go of the file, synced."""
        with suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)


class _Pace:
    """How fast the steps of a phase follow each other, from the first that this process did, which is the slowest."""

    def __init__(self, phase: str, now: float) -> None:
        self.phase = phase
        self.began = self.told = now
        self.steps = self.images = self.seen = 0
        self.sharing = 0.0


def last_of(records: Iterable[Record], kind: str) -> Record | None:
    """The last record of a kind; None where there is none."""
    return next((record for record in reversed(list(records)) if record["record"] == kind), None)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(_plain(record), allow_nan=False, separators=(", ", ": ")).encode() + b"\n"


def _plain(value: Any) -> Any:
    """JSON knows no number that is not finite: its name stands for it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Path):
        return os.fsencode(value).decode(errors="replace")
    return value


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("record"), str) else None
