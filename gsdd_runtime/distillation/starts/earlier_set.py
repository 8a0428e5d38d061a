"""Going on from a set: one of another objective, or of fewer images."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.starts.start import Source, Start, content_digest
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet


class SetStart(Start):
    """``init="set:FILE"``. Where a class of the set has fewer images than are wanted, random real ones fill up.

    Rows of the same form are taken as they are, and nothing is fitted; else what the set decodes to is fitted.

    Args:
        argument: the file.
    """

    argument = "FILE"

    def __init__(self, argument: str) -> None:
        self.reads = Path(argument)

    @cached_property
    def record(self) -> str:
        """The file's name and content: a resumed run starts from the same."""
        assert self.reads is not None
        return f"set:{self.reads.name} {content_digest(self.reads)}"

    @cached_property
    def _set(self) -> DistilledSet:
        assert self.reads is not None
        return DistilledSet.load(self.reads)

    def check(self, data: RealData) -> None:
        wanted = (data.channels, data.height, data.width, data.classes)
        found = (self._set.channels, self._set.height, self._set.width, self._set.classes)
        for what, ours, theirs in zip(("channels", "height", "width", "classes"), found, wanted, strict=True):
            if ours != theirs:
                raise InputError(
                    f"init: {self.reads} has {what} {ours}, and {data.name} has {theirs}: start from a set of such data"
                )
        names = self._set.class_names
        if names is not None and names != data.class_names:
            raise InputError(
                f"init: the classes of {self.reads} have other names, or another order, than {data.name}'s"
            )

    def images(self, source: Source) -> Tensor:
        images = []
        for index in source.classes:
            members = self._members(index)[: source.gpc]
            images.append(self._set.decode(members.cpu()).to(source.device))
            if len(members) < source.gpc:
                images.append(source.real.pixels(source.real.drawn(index, source.gpc - len(members), "init")))
        return torch.cat(images)

    def rows(self, source: Source) -> Tensor | None:
        # By all classes, whichever are wanted: every process of a run starts alike.
        members = [self._members(index)[: source.gpc] for index in range(source.data.classes)]
        if any(len(part) < source.gpc for part in members):
            return None
        return self._set.rows(torch.cat([members[index] for index in source.classes]).cpu())

    def _members(self, index: int) -> Tensor:
        return torch.nonzero(self._set.hard_labels == index).flatten()
