"""Several small jobs on one CPU at a time.

A small batch does not fill two cores: threads inside each operation wait for one another, badly so on a machine that
is busy otherwise. One job a thread has nothing to wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from gsdd_runtime.errors import GsddError

T = TypeVar("T")


class StoppedError(GsddError):
    """This job ends because another one failed or the run was interrupted."""


class Stop:
    """A job calls ``check`` from time to time; it raises once the jobs are to end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def check(self) -> None:
        """Raises StoppedError if the jobs are to end."""
        if self._event.is_set():
            raise StoppedError("stopped")


def threads_of_each(jobs: int) -> int:
    """Threads that PyTorch gives to each operation of one of ``jobs`` jobs run by :func:`run_side_by_side`."""
    return max(1, torch.get_num_threads() // max(jobs, 1))


def run_side_by_side(jobs: Sequence[Callable[[Stop], T]]) -> list[T]:
    """Runs jobs in as many threads as PyTorch uses, and returns their results in order.

    The threads of PyTorch's operations are shared out evenly: a job computes with ``threads_of_each(len(jobs))``.

    Raises:
        What the first job that failed raised, or KeyboardInterrupt, after all jobs have ended.
    """
    before = torch.get_num_threads()
    each = threads_of_each(len(jobs))
    stop = Stop()
    with ThreadPoolExecutor(
        max_workers=max(1, min(len(jobs), before)), initializer=torch.set_num_threads, initargs=(each,)
    ) as pool:
        futures = [pool.submit(job, stop) for job in jobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
        finally:
            # The number is the process's default as well as the thread's own.
            torch.set_num_threads(before)
