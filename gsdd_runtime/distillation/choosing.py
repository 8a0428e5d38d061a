"""The best set of a run: judged every so many steps, and kept beside the last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsdd_runtime import ranks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.declared import check_whole_number
from gsdd_runtime.distillation.journal import Journal
from gsdd_runtime.distillation.matching import MATCH
from gsdd_runtime.distillation.watching import Moment
from gsdd_runtime.sets.distilled_set import DistilledSet

# Of the log, and of the chosen set's record.
JUDGED, CHOSEN = "judged", "chosen"


@dataclass(frozen=True)
class Choosing:
    """How sets are judged.

    Attributes:
        every: matching steps between two judgements; the last step has one in any case.
        judge: the accuracy, from 0 to 1, of networks trained on a set and tested on the test part of the data. It must
            follow from the two alone.
        protocol: how, as JSON values.
        on_test: judge on the data's own test images and not on those that the run holds out.
    """

    every: int
    judge: Callable[[DistilledSet, RealData], float]
    protocol: Mapping[str, Any]
    on_test: bool = False

    def __post_init__(self) -> None:
        check_whole_number("eval_every", self.every, 1)

    def due(self, moment: Moment) -> bool:
        """Whether a set is judged now."""
        return moment.phase == MATCH and (moment.step % self.every == 0 or moment.step == moment.total)


class Chooser:
    """Judges the sets of a run as they come, and writes the best.

    Args:
        choosing: how.
        data: whose test part they are judged on.
        made: the set as it is now.
        journal: that tells of each, those of before included.
        path: of the best set.
    """

    def __init__(
        self, choosing: Choosing, data: RealData, made: Callable[[], DistilledSet], journal: Journal, path: Path
    ) -> None:
        self._choosing = choosing
        self._data = data
        self._made = made
        self._journal = journal
        self._path = path

    def saw(self, moment: Moment) -> bool:
        """Judges where it is due; then a run that goes on should do so from here."""
        if not self._choosing.due(moment):
            return False
        made = self._made()
        with ranks.alone():
            accuracy = self._choosing.judge(made, self._data)
        earlier = best_of(self._journal)
        if earlier is None or accuracy > earlier["accuracy"]:
            facts = {"step": moment.step, "accuracy": accuracy, **self._choosing.protocol}
            made.changed(options={**made.options, CHOSEN: facts}).save(self._path)
        self._journal.write(
            JUDGED, phase=moment.phase, step=moment.step, accuracy=accuracy, protocol=dict(self._choosing.protocol)
        )
        return True


class Given:
    """What another process than the first does where a set is judged: it gives the images that it holds.

    Args:
        choosing: how.
        give: gives them.
    """

    def __init__(self, choosing: Choosing, give: Callable[[], None]) -> None:
        self._choosing = choosing
        self._give = give

    def saw(self, moment: Moment) -> bool:
        """As of :class:`Chooser`."""
        due = self._choosing.due(moment)
        if due:
            self._give()
        return due


def best_of(journal: Journal) -> dict[str, Any] | None:
    """The record of the best set so far, the first of several; None where none was judged."""
    judged = [record for record in journal.records if record["record"] == JUDGED]
    return max(judged, key=lambda record: float(record["accuracy"]), default=None)
