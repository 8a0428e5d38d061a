"""Loads, decodes and loops over and over, in threads and in forked processes, and fails where anything grows.

    python tests/endurance/run.py            10,000 of each
    python tests/endurance/run.py 300        what the tests run

Memory may grow by a few megabytes, which allocators keep; threads and open files not at all.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from set_files import some_set

from gsdd_runtime import DistilledLoader, DistilledSet
from gsdd_runtime.memory import resident_memory
from gsdd_runtime.sets import container
from gsdd_runtime.sets.compression import compress

GROWN = 24 << 20
SETTLED_SECONDS = 30.0
SIZES = [(4, 4), (12, 10), (64, 48), (7, 33), (1, 100)]


def counts() -> tuple[int, int]:
    """Threads and open files of this process."""
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def check_steady(what: str, action: Callable[[], object], times: int) -> None:
    """Raises AssertionError where threads or files are more than after a tenth of the times, or memory much more."""
    begun = time.perf_counter()
    for _ in range(max(3, times // 10)):
        action()
    before, memory = counts(), resident_memory() or 0
    for _ in range(times):
        action()
    # The threads that computed for a thread of ours end some time after it.
    until = time.monotonic() + SETTLED_SECONDS
    while counts()[0] > before[0] and time.monotonic() < until:
        time.sleep(0.05)
    after, grown = counts(), (resident_memory() or 0) - memory
    print(
        f"{what:<42} {times:>6} times, {time.perf_counter() - begun:5.0f} s: threads {before[0]} to {after[0]}, files "
        f"{before[1]} to {after[1]}, memory {grown / 1e6:+.1f} MB",
        flush=True,
    )
    if after[0] > before[0] or after[1] > before[1] or grown > GROWN:
        raise AssertionError(f"{what}: something grew")


def mapped(path: Path) -> object:
    container.IN_MEMORY_BYTES, kept = 0, container.IN_MEMORY_BYTES
    try:
        return DistilledSet.load(path).rows([0])
    finally:
        container.IN_MEMORY_BYTES = kept


def refused(path: Path) -> None:
    try:
        DistilledSet.load(path)
    except ValueError:
        return
    raise AssertionError(f"{path} was taken")


def decoded_by_threads(distilled: DistilledSet) -> None:
    """Threads that decode at different sizes at once get what one thread gets."""
    expected = {size: distilled.decode(height=size[0], width=size[1]) for size in SIZES}
    wrong: list[object] = []

    def work(first: int) -> None:
        for turn in range(4):
            size = SIZES[(first + turn) % len(SIZES)]
            found = distilled.decode(height=size[0], width=size[1])
            if not torch.equal(found, expected[size]):
                wrong.append(size)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise AssertionError(f"threads at once got other images at {wrong}")


def decoded_after_fork(distilled: DistilledSet) -> None:
    """A process forked from one that has decoded gets the same images."""
    expected = distilled.decode()
    child = os.fork()
    if not child:
        os._exit(0 if torch.equal(distilled.decode(), expected) else 1)
    status = os.waitpid(child, 0)[1]
    if status != 0:
        raise AssertionError(f"a forked process ended with {status}")


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    torch.set_num_threads(2)
    distilled = some_set(12)
    with tempfile.TemporaryDirectory() as place:
        plain, coded, cut = (Path(place) / f"{name}.safetensors" for name in ("plain", "coded", "cut"))
        distilled.save(plain)
        compress(distilled).distilled_set.save(coded)
        cut.write_bytes(plain.read_bytes()[:-1])
        loader = DistilledLoader(distilled, batch_size=5, shuffle=True, seed=1)
        ahead = DistilledLoader(distilled, batch_size=5, prefetch=2, seed=1)
        check_steady("load and let go", lambda: DistilledSet.load(plain), times)
        check_steady("map and let go", lambda: mapped(plain), times)
        check_steady("load a coded set", lambda: DistilledSet.load(coded), times // 10)
        check_steady("refuse a damaged one", lambda: refused(cut), times)
        check_steady("iter(loader) to its end", lambda: list(loader), times // 10)
        check_steady("iter(loader), abandoned", lambda: next(iter(loader)), times)
        check_steady("iter(loader) that decodes ahead, abandoned", lambda: next(iter(ahead)), times // 10)
        check_steady("decode at several sizes in six threads", lambda: decoded_by_threads(distilled), times // 100)
        check_steady("decode in a forked process", lambda: decoded_after_fork(distilled), times // 100)


if __name__ == "__main__":
    main()
