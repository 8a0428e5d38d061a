"""What a run comes to: its set, gathered from the processes that hold its images where these are divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime import ranks
from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.objectives import Objective
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.distillation.resuming import HISTORY
from gsdd_runtime.distillation.storage import HEADER_BYTES, coded_budget
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.origins import FITTED
from gsdd_runtime.versions import VERSION
from gsdd_runtime.wording import counted

# A share of the storage below which coded images are said to leave some of it free.
_FILLED = 0.9


class Outcome:
    """The images of a run as others see them.

    Args:
        options: of the run.
        representation: the images, or those that this process holds.
        objective: for what training needs, and labels.
        history: of the run's resumptions.
        division: of the images over the processes of the run; None where each holds all.
    """

    def __init__(
        self,
        options: ResolvedOptions,
        representation: Representation,
        objective: Objective,
        history: list[Any],
        division: Division | None,
    ) -> None:
        self._options = options
        self._representation = representation
        self._objective = objective
        self._history = history
        self._division = division

    def check(self) -> None:
        """Before the first step: raises InputError for a set that could not be saved."""
        own = None if self._division is None else self._division.own
        self._described(self._representation.plain_set, own).check_saving()

    def made(self) -> DistilledSet:
        """The set as it is now; where images are divided, for the first process, while others give theirs."""
        if self._division is None:
            return self._described(self._representation.to_set)
        stored = self._division.whole(self._representation.stored)
        assert stored is not None
        return self._described(partial(self._representation.set_of, stored))

    def made_by_first(self, out: Path) -> DistilledSet:
        """For another process than the first, which has the set alone or writes it to ``out`` meanwhile."""
        if self._division is None:
            distilled = self.made()
            ranks.joined().wait()
            return distilled
        self.give()
        ranks.joined().wait()
        return DistilledSet.load(out)

    def give(self) -> None:
        """Gives the first process what this one holds of the images, where they are divided."""
        if self._division is not None:
            self._division.whole(self._representation.stored)

    @torch.no_grad()
    def drawn(self, images: Tensor) -> Tensor | None:
        """The images at some positions, int64 ``[M]``, in pixel units, ``[M, C, H, W]``, on the CPU; where they are
        divided, for the first process.
        """
        if self._division is None:
            return self._rendered(images)
        return self._division.picked(images, self._rendered)

    def _rendered(self, rows: Tensor) -> Tensor:
        return self._representation.render(rows.to(self._options.device)).cpu()

    def tell_fill(self, distilled: DistilledSet, say: Callable[[str], None]) -> None:
        """Coded images take what they take: says so where that is more than their storage, or leaves some of it free.

        Pixels may overrun it; Gaussians may leave some where their steps are as fine as they get.
        """
        if distilled.coded is None:
            return
        options = self._options
        held = coded_budget(options.room.data, options.ipc) - HEADER_BYTES
        over = distilled.image_nbytes - held
        if over > 0:
            say(
                f"the images take {counted(over, 'byte')} more than the storage of ipc {options.ipc}: lower gpc "
                f"from {options.gpc} to stay within it"
            )
        elif distilled.image_nbytes < _FILLED * held:
            more = "gpc" if options.representation == "pixels" else "gpc or gaussians"
            say(
                f"the images fill {100 * distilled.image_nbytes / held:.0f} % of the storage of ipc {options.ipc}: "
                f"raise {more} to use the rest"
            )

    def _described(self, to_set: Callable[..., DistilledSet], classes: Sequence[int] | None = None) -> DistilledSet:
        """The set of all images, or those of some ``classes`` alone."""
        options, data = self._options, self._options.room.data
        labels = self._objective.labels()
        return to_set(
            torch.tensor(classes or range(data.classes)).repeat_interleave(options.gpc)
            if labels is None
            else labels.detach().to("cpu", torch.float16),
            class_names=data.class_names,
            mean=data.mean,
            std=data.std,
            zca=data.zca,
            ipc=options.ipc,
            gpc=options.gpc,
            # Without a step of it, the objective has no part in the images.
            method=options.method if options.iterations else FITTED,
            options=options.as_dict() | ({HISTORY: self._history} if self._history else {}),
            seed=options.seed,
            fingerprint=data.fingerprint,
            versions=versions(),
            training=self._objective.facts(),
        )


def versions() -> dict[str, str]:
    """Of what made the set, for its record."""
    return {"gsdd-rt": VERSION, "torch": torch.__version__}
