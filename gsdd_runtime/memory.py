"""Memory that there is left, asked before any of it is taken."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import bytes_in_words

# Less is not worth asking for, which takes up to a millisecond.
UNASKED_BYTES = 1 << 26


# What is freed stays with the process up to this much, for tensors of up to 32 MB each: more glibc does not allow.
KEPT_BYTES = 1 << 30
KEPT_BLOCK_BYTES = 32 << 20


@cache
def keep_freed_memory() -> None:
    """Keeps freed main memory for this process, where its C library is glibc.

    Otherwise each tensor of a few megabytes goes back to the system when it is freed, and the next one is of pages that
    have to be cleared first, which takes longer than filling them.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h.
    mallopt(-1, KEPT_BYTES)
    mallopt(-3, KEPT_BLOCK_BYTES)


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Raises InputError where this process cannot get ``needed`` bytes of main memory for ``what``."""
    if needed <= UNASKED_BYTES:
        return
    available = available_memory()
    if needed > available:
        raise InputError(
            f"{what} would take {bytes_in_words(needed)}, {bytes_in_words(available)} of memory are free: {remedy}"
        )


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: what the machine can free, or less where its cgroup allows less."""
    return min([_machine(root), *_cgroups(root)])


def _machine(root: Path) -> int:
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroups(root: Path) -> Iterator[int]:
    """What each cgroup that this process is in has left; a group is limited by those above it too."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            mount, limit, usage, prefix = root / "sys/fs/cgroup", "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            limit, usage, prefix = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
        else:
            continue
        group = mount / name.strip("/")
        # In a container the group's name is that outside, and its files stand at the mount.
        for folder in (group, *group.parents):
            try:
                left = int((folder / limit).read_text()) - int((folder / usage).read_text())
                yield max(0, left + _reclaimable(folder / "memory.stat", prefix))
            except (OSError, ValueError):
                # No such file, or no limit ("max").
                pass
            if folder == mount:
                break


def _reclaimable(file: Path, prefix: str) -> int:
    """Bytes of a group's use that are copies of files."""
    counts = dict(line.split(" ", 1) for line in file.read_text().splitlines())
    return sum(int(counts.get(f"{prefix}{name}", 0)) for name in ("inactive_file", "active_file"))


def resident_memory() -> int | None:
    """Bytes of main memory that this process holds now; None where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
