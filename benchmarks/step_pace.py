"""What the contestants of ``distill_step.py`` share: images, a pace given from outside, processes that keep it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch

CLASSES, PER_CLASS, SIDE, IMAGES = 10, 512, 32, 30


class Pace:
    """Lets a loop go on step by step: each call of :meth:`step` ends one step and waits until the next is asked for."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._since: tuple[float, float] | None = None

    def step(self) -> None:
        now = (time.perf_counter(), time.process_time())
        self._pipe.send(None if self._since is None else (now[0] - self._since[0], now[1] - self._since[1]))
        if not self._pipe.recv():
            os._exit(0)
        self._since = (time.perf_counter(), time.process_time())


class Contestant:
    """A loop in a process of its own, which lies still between the steps."""

    def __init__(self, run: Callable[..., NoReturn], *arguments: Any) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def step(self) -> tuple[float, float]:
        """Seconds of one step, on the wall and on the processors."""
        self._pipe.send(True)
        wall, processors = self._pipe.recv()
        return wall, processors

    def end(self) -> None:
        self._pipe.send(False)
        self._process.join()


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (CLASSES * PER_CLASS, 3, SIDE, SIDE)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def labels() -> torch.Tensor:
    return torch.arange(CLASSES).repeat_interleave(PER_CLASS)


def normalised() -> list[tuple[torch.Tensor, int]]:
    """The images as a network takes them, with their labels."""
    return list(zip((images().float() / 255 - 0.5) / 0.25, labels().tolist(), strict=True))


def drawn_weights(width: int, epochs: int) -> list[list[torch.Tensor]]:
    """Weights of a ConvNet of three blocks after each of ``epochs``, as an expert leaves them: here by chance."""
    from gsdd_runtime import networks

    network = networks.build(f"convnet3-w{width}", 3, CLASSES, (SIDE, SIDE), seed=0)
    generator = torch.Generator().manual_seed(1)
    rows = [[part.detach().clone() for part in network.parameters()]]
    for _ in range(epochs):
        rows.append([part + 0.01 * torch.randn(part.shape, generator=generator) for part in rows[-1]])
    return rows
