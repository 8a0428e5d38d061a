"""A command in a process of its own, forked from one that has imported everything, and what happens to it there."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

SOURCE = Path(__file__).parent / "faults.c"
# As in faults.c.
OPERATIONS = {"write": 1, "fsync": 2, "rename": 3, "create": 4, "truncate": 5}
KILL = 0
ERRORS = {"no space": errno.ENOSPC, "input/output error": errno.EIO, "quota": errno.EDQUOT}
# What no command of ours takes on such data: it hangs.
LIMIT_SECONDS = 300.0
NOBODY = 65534


def compiled(folder: Path) -> Path:
    """The library, made by the system's compiler."""
    library = folder / "faults.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-ldl"], check=True)
    return library


def library() -> ctypes.CDLL:
    """The one that this process was started with."""
    return ctypes.CDLL(os.environ["GSDD_FAULTS_LIBRARY"])


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        status: exit code, or minus the signal.
        out, err: what it printed.
        seconds: that it took.
        counts: calls of each operation, where the process lived to tell.
    """

    status: int
    out: str
    err: str
    seconds: float
    counts: dict[str, int]

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.err

    @property
    def aborted(self) -> bool:
        """Whether a library in Rust, safetensors, found no memory: it then ends the process."""
        return self.status == -signal.SIGABRT and "memory allocation of" in self.err

    @property
    def last_line(self) -> str:
        return (self.err.strip().splitlines() or [""])[-1]


# ``inject`` is called in the process before the command, ``meanwhile`` in this one with the other's number.
def start(arguments: list[str], inject: Callable[[], None], report: Path) -> int:
    """Forks; returns the process's number."""
    # A process that is killed at once leaves no word of the one before.
    for name in ("out", "err", "counts"):
        (report / name).unlink(missing_ok=True)
    (report / "out").touch()
    (report / "err").touch()
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        for descriptor, name in ((1, "out"), (2, "err")):
            file = os.open(report / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(file, descriptor)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        try:
            inject()
            from gsdd_runtime.commands.cli import run

            status = run(arguments)
        except BaseException:
            # As Python does at the end of a program.
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        faults = library()
        counts = " ".join(f"{name}={faults.faults_count(number)}" for name, number in OPERATIONS.items())
        (report / "counts").write_text(counts)
        (report / "modules").write_text(" ".join(sys.modules))
    finally:
        os._exit(status)


def wait(process: int, report: Path, begun: float) -> Ended:
    """Waits for the end."""
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            break
        if time.monotonic() - begun > LIMIT_SECONDS:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise TimeoutError(f"process {process} did not end within {LIMIT_SECONDS:.0f} s: {report}")
        time.sleep(0.002)
    counts = report / "counts"
    told = dict(part.split("=") for part in counts.read_text().split()) if counts.exists() else {}
    counts.unlink(missing_ok=True)
    out, err = ((report / name).read_text(errors="replace") for name in ("out", "err"))
    return Ended(
        os.waitstatus_to_exitcode(status), out, err, time.monotonic() - begun,
        {name: int(count) for name, count in told.items()},
    )  # fmt: skip


def run_job(
    arguments: list[str],
    report: Path,
    inject: Callable[[], None] = lambda: None,
    meanwhile: Callable[[int], None] = lambda _: None,
) -> Ended:
    """Runs a command to its end, whatever end that is."""
    begun = time.monotonic()
    process = start(arguments, inject, report)
    meanwhile(process)
    return wait(process, report, begun)


def import_as(report: Path) -> None:
    """Imports what the last command did: those that are forked from now on need not."""
    for name in (report / "modules").read_text().split():
        with suppress(Exception):
            import_module(name)


def failing(folder: Path, operation: str, number: int, error: int) -> Callable[[], None]:
    """The ``number``-th call of an operation in a folder fails by ``error``, or kills the process (0)."""
    return lambda: library().faults_arm(os.fsencode(folder), OPERATIONS[operation], ctypes.c_long(number), error)


def counting(folder: Path) -> Callable[[], None]:
    """Nothing fails; calls are counted."""
    return lambda: library().faults_arm(os.fsencode(folder), 0, ctypes.c_long(0), 0)


def killed_after(seconds: float) -> Callable[[int], None]:
    """SIGKILL after a time, if it runs that long."""

    def kill(process: int) -> None:
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)

    return kill


def limited_memory(more: int) -> Callable[[], None]:
    """The address space may grow by so many bytes."""

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return limit


def without_rights() -> None:
    """As a user that may read all and write nothing: where this is not root, the folder's mode is enough."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def clock_set_back(after: int, seconds: int) -> Callable[[], None]:
    """The wall clock jumps back once it was asked ``after`` times."""
    return lambda: library().faults_clock(ctypes.c_long(after), ctypes.c_long(seconds))
