"""Pictures of a run beside its set, and TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gsdd_runtime.atomic import atomic_path
from gsdd_runtime.distillation.declared import check_whole_number
from gsdd_runtime.distillation.journal import Record
from gsdd_runtime.distillation.matching import MATCH
from gsdd_runtime.distillation.watching import Moment
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.pictures import grid

# Classes, and images of each, that a picture shows.
CLASSES, IMAGES = 20, 10
NAME = "{phase}-{step:07d}.png"


class Pictures:
    """Draws the first images of the first classes every so many steps, and at the end of each phase.

    Args:
        every: matching steps between two pictures.
        drawn: draws the images at some positions, int64 ``[M]``, in pixel units, ``[M, C, H, W]``; None in another
            process than the first, which shows nothing.
        class_names: of the data.
        gpc: images a class.
        show: told of each picture, with its phase and step.
    """

    def __init__(
        self,
        every: int | None,
        drawn: Callable[[Tensor], Tensor | None],
        class_names: tuple[str, ...],
        gpc: int,
        show: Sequence[Callable[[Image.Image, str, int], None]],
    ) -> None:
        if every is not None:
            check_whole_number("picture_every", every, 1)
        self._every = every
        self._drawn = drawn
        self._names = class_names[:CLASSES]
        self._columns = min(gpc, IMAGES)
        self._rows = torch.arange(len(self._names)).repeat_interleave(self._columns) * gpc
        self._rows += torch.arange(self._columns).repeat(len(self._names))
        self._show = show

    def saw(self, moment: Moment) -> None:
        due = moment.phase == MATCH and self._every is not None and moment.step % self._every == 0
        if not self._show or not (due or moment.step == moment.total):
            return
        images = self._drawn(self._rows)
        if images is None:
            return
        picture = grid(images, self._columns, self._names)
        for show in self._show:
            show(picture, moment.phase, moment.step)


def unshown(picture: Image.Image, phase: str, step: int) -> None:
    """Where another process shows it."""


def picture_writer(folder: Path) -> Callable[[Image.Image, str, int], None]:
    """Writes pictures into a folder, named by phase and step."""
    folder.mkdir(exist_ok=True)

    def write(picture: Image.Image, phase: str, step: int) -> None:
        with atomic_path(folder / NAME.format(phase=phase, step=step)) as temporary:
            picture.save(temporary, format="PNG", optimize=True)

    return write


def check_picture_folder(folder: Path, *, replace: bool) -> None:
    """Before the first step: raises InputError where ``folder`` may not be filled.

    Args:
        folder: of the pictures.
        replace: whether pictures of an earlier run may be replaced.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} is not a folder: pictures of the run go there, move it away")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not replace or any(path.suffix != ".png" for path in folder.iterdir()):
        raise InputError(f"the folder {folder} holds something already: add --overwrite, or move it away")


def clear_pictures(folder: Path) -> None:
    """Removes the pictures of an earlier run."""
    if folder.is_dir():
        for path in folder.glob("*.png"):
            path.unlink()


def summary_writer() -> Any:
    """TensorBoard's class of writers.

    Raises:
        InputError: the package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            f"tensorboard is not installed ({error}): pip install 'gsdd-rt[tensorboard]', or leave the option out"
        ) from error
    return SummaryWriter


class Board:
    """Writes a run's records to TensorBoard: scalars and pictures, a folder for each phase.

    Args:
        folder: of the run.
        phase, step: what comes after is shown anew where the run goes on from here.

    Raises:
        InputError: the package is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path, phase: str | None = None, step: int = 0) -> None:
        self._make = summary_writer()
        self._folder = folder
        self._purge = {} if phase is None else {phase: step + 1}
        self._writers: dict[str, Any] = {}

    def told(self, record: Record) -> None:
        """Shows the numbers of a record of a step or of a judgement."""
        phase, step = record.get("phase"), record.get("step")
        if phase is None or step is None or record["record"] not in ("step", "judged"):
            return
        scalars = {name: record.get(name) for name in ("loss", "learning_rate", "steps_per_second", "accuracy")}
        for group in ("parts", "learned"):
            scalars |= {f"{group}/{name}": value for name, value in record.get(group, {}).items()}
        for name, value in scalars.items():
            if isinstance(value, (int, float)):
                self._writer(phase).add_scalar(name, value, step)

    def show(self, picture: Image.Image, phase: str, step: int) -> None:
        """Shows a picture."""
        self._writer(phase).add_image("images", np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _writer(self, phase: str) -> Any:
        if phase not in self._writers:
            try:
                self._writers[phase] = self._make(str(self._folder / phase), purge_step=self._purge.get(phase))
            except OSError as error:
                raise InputError(f"cannot write {self._folder}: {error.strerror or error}") from error
        return self._writers[phase]
