"""Fitting a dataset: all its training images as Gaussians, part by part, by as many processes as there are."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime import ranks
from gsdd_runtime.atomic import check_place, check_room, remove_partial_files, sole_writer
from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.distillation.declared import check_whole_number
from gsdd_runtime.distillation.fit import FIT, fit_images
from gsdd_runtime.distillation.options import DEFAULT_FIT_STEPS
from gsdd_runtime.distillation.stopping import Interrupted
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import parts_path
from gsdd_runtime.progress import Progress, Reporter, silent
from gsdd_runtime.seeds import derived_seed
from gsdd_runtime.sets.container import Kind, open_container, write_container
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.origins import FITTED
from gsdd_runtime.splatting.gaussians import parameters_per_gaussian
from gsdd_runtime.versions import VERSION
from gsdd_runtime.wording import counted

DEFAULT_PART = 64
BFLOAT16_BYTES = 2
KIND = Kind(
    name="a part of a fitted dataset",
    key="gsdd_fitted",
    newest=1,
    remedy="remove its folder to start anew",
    again="remove it: it is fitted again",
)
# Of a set's record: what the fit came to, which decides nothing.
REACHED = "psnr"


@dataclass(frozen=True)
class FittedData:
    """A dataset as Gaussians.

    Attributes:
        distilled_set: opened from its file.
        psnr, least_psnr: mean and least over images, in dB for a range of 1.
        fitted: images that this run fitted, and did not find there.
    """

    distilled_set: DistilledSet
    psnr: float
    least_psnr: float
    fitted: int


def fit_data(
    data: RealData,
    out: str | os.PathLike[str],
    *,
    count: int,
    steps: int = DEFAULT_FIT_STEPS,
    part: int = DEFAULT_PART,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Reporter = silent,
) -> FittedData:
    """Gaussians that reproduce every training image of ``data``, in their order, and their labels.

    Images are fitted ``part`` at a time, which bounds the memory whatever their number; each part is a file in
    ``out`` with ``.parts`` added until the set is whole. What a part becomes depends on its images, the options and
    its number alone: a run that was killed, or that several processes shared, writes the same bytes.

    Args:
        data: real images, in memory or mapped.
        out: the file to write, by one run at a time.
        count: Gaussians an image.
        part: images that are fitted at once; it has a part in the result's last digits.
        steps, seed, device: see ``fit_images``.
        resume: go on with the parts that are missing; a set that is finished is opened.
        overwrite: replace what ``out`` is before; refused otherwise.
        progress: told after every step, of all parts together.

    Raises:
        InputError: an option out of range, a disk without room, a file that may not be replaced, parts of another run.
        BusyError: another run is writing ``out``.
        Interrupted: Ctrl-C; the parts that are whole are kept.
    """
    check_real_data(data)
    for name, value in (("count", count), ("steps", steps), ("part", part)):
        check_whole_number(name, value, 1)
    place, together = Path(out), ranks.joined()
    job = _Job(data, place, count, steps, part, seed, resolve_device(device).type)
    with sole_writer(place) if together.first else nullcontext():
        finished = job.finished(resume=resume, overwrite=overwrite)
        together.check_same([finished is not None, len(job.missing())], "parts of the set")
        if finished is not None:
            return finished
        if together.first:
            job.make_room()
        together.wait()
        try:
            fitted = sum(together.told(job.fit(device, progress)))
        except KeyboardInterrupt as stopped:
            done = len(job.numbers()) - len(job.missing())
            raise Interrupted(
                f"stopped with {done} of {counted(len(job.numbers()), 'part')} in {parts_path(place)}: give the same "
                "options and --resume to go on"
            ) from stopped
        found = job.assemble(fitted) if together.first else None
        together.wait()
    return found or job.opened(fitted)


@dataclass(frozen=True)
class _Job:
    data: RealData
    out: Path
    count: int
    steps: int
    part: int
    seed: int
    device: str

    @property
    def record(self) -> dict[str, Any]:
        """What decides the result besides the data."""
        return {
            "of": self.data.name, "gaussians_per_image": self.count, "fit_steps": self.steps, "part": self.part,
            "device": self.device,
        }  # fmt: skip

    @property
    def images(self) -> int:
        return len(self.data.train_labels)

    def numbers(self) -> range:
        """Of the parts."""
        return range(-(-self.images // self.part))

    def path(self, number: int) -> Path:
        return parts_path(self.out) / f"part-{number:06d}.safetensors"

    def missing(self) -> list[int]:
        return [number for number in self.numbers() if not self.path(number).exists()]

    def finished(self, *, resume: bool, overwrite: bool) -> FittedData | None:
        """The set where it is whole already; None where there is work to do.

        Raises:
            InputError: there is something that may not be replaced or gone on with.
        """
        check_place(self.out)
        parts = parts_path(self.out)
        if parts.exists() and (parts.is_symlink() or not parts.is_dir()):
            raise InputError(f"{parts} is not a folder: parts of the set go there, move it away")
        begun = parts.is_dir() and any(parts.iterdir())
        if begun and not resume:
            raise InputError(f"{parts} holds an unfinished run: add --resume to go on with it, or remove it")
        for number in self.numbers() if begun else ():
            if self.path(number).exists():
                self._check(self.path(number), open_container(self.path(number), KIND).fields)
        if not self.out.exists() or overwrite or begun:
            return None
        if not resume:
            raise InputError(f"{self.out} exists: add --overwrite to replace it, or choose another place")
        found = self.opened(0)
        made = found.distilled_set
        record = {name: value for name, value in made.options.items() if not name.endswith(REACHED)}
        self._check(self.out, {"record": record, "seed": made.seed, "data": made.fingerprint})
        return found

    def make_room(self) -> None:
        """Refuses a disk that is too small; the folder of the parts is there afterwards, without what was torn off."""
        parts = parts_path(self.out)
        size = self.images * self.count * parameters_per_gaussian(self.data.channels) * BFLOAT16_BYTES
        # The parts, what they are joined in, and the set.
        check_room(self.out, 3 * size)
        try:
            parts.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {parts}: {error.strerror or error}") from error
        for number in self.missing():
            remove_partial_files(self.path(number))

    def fit(self, device: str, progress: Reporter) -> int:
        """Fits the parts of this rank that are missing; how many images that were."""
        together, fitted = ranks.joined(), 0
        own = [number for number in together.own(len(self.numbers())) if not self.path(number).exists()]
        for at, number in enumerate(own):

            def tell(told: Progress, before: int = at * self.steps) -> None:
                progress(Progress(FIT, before + told.step, len(own) * self.steps, told.loss))

            members = slice(number * self.part, (number + 1) * self.part)
            found = fit_images(
                self.data.train_images[members], self.count, steps=self.steps,
                seed=derived_seed(self.seed, "fit", "part", number), device=device, progress=tell,
            )  # fmt: skip
            tensors = {"gaussians": found.gaussians.bfloat16(), "psnr": found.psnr}
            write_container(self.path(number), KIND, self._fields, tensors)
            fitted += len(found.psnr)
        return fitted

    def assemble(self, fitted: int) -> FittedData:
        """Writes the set of the parts, and removes these."""
        data = self.data
        shape = (self.images, self.count, parameters_per_gaussian(data.channels))
        reached = torch.empty(self.images)
        with _mapped(self.out.parent, shape) as gaussians:
            for number in self.numbers():
                container = open_container(self.path(number), KIND)
                self._check(self.path(number), container.fields)
                tensors, members = container.tensors(), slice(number * self.part, (number + 1) * self.part)
                if tensors["gaussians"].shape != gaussians[members].shape:
                    raise InputError(f"{self.path(number)} is damaged: {KIND.again}")
                gaussians[members] = tensors["gaussians"]
                reached[members] = tensors["psnr"]
            counts = data.train_labels.bincount(minlength=data.classes)
            each = int(counts[0]) if bool((counts == counts[0]).all()) else None
            made = DistilledSet(
                gaussians, data.train_labels, data.height, data.width, class_names=data.class_names, mean=data.mean,
                std=data.std, zca=data.zca, gpc=each, method=FITTED, seed=self.seed, fingerprint=data.fingerprint,
                options={**self.record, REACHED: float(reached.mean()), f"least_{REACHED}": float(reached.min())},
                versions={"gsdd-rt": VERSION, "torch": torch.__version__},
            )  # fmt: skip
            made.save(self.out)
        shutil.rmtree(parts_path(self.out), ignore_errors=True)
        return self.opened(fitted)

    def opened(self, fitted: int) -> FittedData:
        """What the file holds."""
        made = DistilledSet.load(self.out)
        reached = [made.options.get(name) for name in (REACHED, f"least_{REACHED}")]
        if not all(isinstance(one, float) for one in reached):
            raise InputError(f"{self.out} exists and is no fitted dataset: choose another place")
        return FittedData(made, float(reached[0]), float(reached[1]), fitted)  # type: ignore[arg-type]

    @property
    def _fields(self) -> dict[str, Any]:
        return {"record": self.record, "seed": self.seed, "data": self.data.fingerprint}

    def _check(self, path: Path, fields: dict[str, Any]) -> None:
        """Raises InputError, which names a difference, unless ``path`` is of this run."""
        before = {**fields.get("record", {}), "seed": fields.get("seed"), "the images": fields.get("data")}
        now = {**self.record, "seed": self.seed, "the images": self.data.fingerprint}
        # The name of the data says where it lies.
        for name in now.keys() - {"of"}:
            if before.get(name) != now[name]:
                raise InputError(
                    f"{path} is of a run with {name} {before.get(name)!r}, not {now[name]!r}: use the same options and "
                    "images, or choose another out"
                )


@contextmanager
def _mapped(folder: Path, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """bfloat16 of that shape in a nameless file: the system takes its memory back where it is short."""
    size = torch.Size(shape).numel() * BFLOAT16_BYTES
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            # Whole now: a disk that fills up under a mapping would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
        yield torch.frombuffer(mmap.mmap(file.fileno(), size), dtype=torch.bfloat16).view(shape)
