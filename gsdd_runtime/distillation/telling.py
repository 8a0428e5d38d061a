"""To whom a run tells what: progress, a plan, judgements, pictures, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gsdd_runtime.atomic import check_not_read, check_place
from gsdd_runtime.distillation.checkpoint import Checkpoint
from gsdd_runtime.distillation.choosing import Chooser, Choosing, Given
from gsdd_runtime.distillation.journal import Journal
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.planning import Timing
from gsdd_runtime.distillation.saving import Saving
from gsdd_runtime.distillation.showing import (
    Board,
    Pictures,
    check_picture_folder,
    clear_pictures,
    picture_writer,
    summary_writer,
    unshown,
)
from gsdd_runtime.distillation.watching import Watcher, watched
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import best_path, log_path, pictures_path
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet


def unsaid(line: str) -> None:
    """Where nobody is told."""


@dataclass(frozen=True)
class Telling:
    """What a run tells.

    Attributes:
        progress: told after every step.
        say: told of the plan, and how long it will take.
        choosing: how sets are judged on the way; None for not at all.
        picture_every: matching steps between two pictures; None for none.
        tensorboard: the folder of TensorBoard's runs; None for none.
    """

    progress: Reporter = silent
    say: Callable[[str], None] = unsaid
    choosing: Choosing | None = None
    picture_every: int | None = None
    tensorboard: Path | None = None

    def check(self, saving: Saving, options: ResolvedOptions) -> None:
        """Before the first step.

        Raises:
            InputError: a place that may not be written, or no image to judge sets on.
        """
        out = saving.out
        asked = {"choosing": self.choosing, "picture_every": self.picture_every, "tensorboard": self.tensorboard}
        for name, value in asked.items():
            if out is None and value is not None:
                raise InputError(f"{name} needs out: it stands beside that file")
        if out is None:
            return
        # Whatever stands beside a file that may not be written has no name to be checked.
        check_place(out)
        if self.tensorboard is not None:
            summary_writer()
        reads = options.reads
        check_not_read(log_path(out), reads)
        if self.choosing is not None:
            if options.iterations == 0:
                raise InputError("sets are judged as they are matched, and iterations is 0: judge it by gsdd-rt eval")
            if not self.choosing.on_test and options.judged is None:
                raise InputError("no training image is held out to judge sets on: give held_out, such as 0.1")
            if self.choosing.on_test and not len(options.room.data.test_labels):
                raise InputError(f"{options.room.data.name} has no test image to judge sets on: judge on held-out ones")
            best = best_path(out)
            check_place(best)
            check_not_read(best, reads)
            if best.exists() and not (saving.resume or saving.overwrite):
                raise InputError(f"{best} exists: add --overwrite to replace it, or choose another place")
        if self.picture_every is not None:
            check_picture_folder(pictures_path(out), replace=saving.resume or saving.overwrite)

    @contextmanager
    def watcher(
        self,
        out: Path,
        options: ResolvedOptions,
        drawn: Callable[[Tensor], Tensor | None],
        made: Callable[[], DistilledSet],
        journal: Journal,
        start: Checkpoint | None,
    ) -> Iterator[Watcher]:
        """What is shown every step while the block lasts.

        Args:
            out, options: of the run.
            drawn: as :class:`gsdd_runtime.distillation.showing.Pictures` takes it.
            made: the set as it is now.
            journal: of the run.
            start: where it goes on.
        """
        data = options.room.data
        watchers: list[Watcher] = [journal.saw, Timing(self.say).saw]
        shows = []
        if self.picture_every is not None:
            if start is None:
                clear_pictures(pictures_path(out))
            shows.append(picture_writer(pictures_path(out)))
        board = None
        if self.tensorboard is not None:
            board = Board(self.tensorboard / out.stem, *(() if start is None else (start.phase, start.step)))
            journal.listeners.append(board.told)
            shows.append(board.show)
        pictures = Pictures(self.picture_every, drawn, data.class_names, options.gpc, shows)
        watchers.append(pictures.saw)
        if self.choosing is not None:
            judged = data if self.choosing.on_test or options.judged is None else options.judged
            watchers.append(Chooser(self.choosing, judged, made, journal, best_path(out)).saw)
        # In the order of :meth:`giver`.
        try:
            yield watched(watchers)
        finally:
            if board is not None:
                board.close()

    def giver(
        self, options: ResolvedOptions, drawn: Callable[[Tensor], Tensor | None], give: Callable[[], None]
    ) -> Watcher:
        """What another process than the first does every step, where images are divided and that one may ask for them.

        Args:
            options: of the run.
            drawn: gives the first process what this one holds of some images.
            give: gives it all that this one holds.
        """
        shows = [unshown] if self.picture_every is not None or self.tensorboard is not None else []
        pictures = Pictures(self.picture_every, drawn, options.room.data.class_names, options.gpc, shows)
        watchers: list[Watcher] = [pictures.saw]
        if self.choosing is not None:
            watchers.append(Given(self.choosing, give).saw)
        return watched(watchers)
