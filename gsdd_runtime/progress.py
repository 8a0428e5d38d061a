"""What a long run tells of itself. The command line draws it; a library user may ignore it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report of a long run: ``step`` of ``total`` steps of ``phase`` are done."""

    phase: str
    step: int
    total: int
    loss: float | None = None


Reporter = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """The reporter that says nothing."""
