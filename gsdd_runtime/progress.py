"""What a long run tells of itself. The command line draws it; a library user may ignore it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from gsdd_runtime import ranks


@dataclass(frozen=True)
class Progress:
    """One report of a long run: ``step`` of ``total`` steps of ``phase`` are done.

    ``parts`` are scalars beside the loss, by name.
    """

    phase: str
    step: int
    total: int
    loss: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


Reporter = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """The reporter that says nothing."""


def say(message: str) -> None:
    """One line on stderr; of several processes that share a run the first alone says it."""
    if not ranks.joined().first:
        return
    print(f"gsdd-rt: {' '.join(message.split())}", file=sys.stderr)


@cache
def say_once(message: str) -> None:
    """One line on stderr, the first time that a process has to say it."""
    say(message)
