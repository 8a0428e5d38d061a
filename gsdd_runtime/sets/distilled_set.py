"""A distilled dataset: images as 2D Gaussians or plain pixels, their labels, what training on it needs."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.sets import checks
from gsdd_runtime.sets.coding.coded import CodedImages, encode_images
from gsdd_runtime.sets.drawn_images import DrawnImages
from gsdd_runtime.sets.file import check_description, read_set_file, write_set_file
from gsdd_runtime.sets.notebook import InNotebooks
from gsdd_runtime.sets.source import Identity, Source
from gsdd_runtime.sets.stored import StoredTensors
from gsdd_runtime.wording import counted


class DistilledSet(DrawnImages, InNotebooks):
    """A small set of images that trains a network almost as well as the real data it was made from.

    Args:
        gaussians: bfloat16 ``[M, N, 6 + C]``, the layout of the render specification; None where ``pixels``
            is given.
        labels: int64 ``[M]``, or soft: float16 ``[M, classes]``, not negative.
        height, width: the native size in pixels, which the Gaussians' factors are measured in.
        pixels: bfloat16 ``[M, C, height, width]``: the plain images that Gaussians are compared with; or
            ``[M, C, height / f, width / f]``, ``f`` a whole number, which are decoded to the native size.
        class_names: one a class; left out, classes are counted from the labels.
        mean, std: a number a channel, of the real data in pixel units [0, 1].
        zca: float32 ``[D + 1, D]``, ``D = C * height * width``: the whitening of the real data, which a network
            takes in place of mean and std (see ``prepare``). Images are in pixel units with it too.
        ipc, gpc: images per class that set the storage, and images per class that it holds.
        method, options, seed, fingerprint, versions: how the set was made and from which data.
        training: what training on it needs, by name: for example the learned rate.
        accuracy: what it was measured to be worth, each with its protocol; see docs/evaluation.md.

    Raises:
        InputError: anything that docs/file-format.md does not allow.
    """

    # The images as the file holds them where they are coded (gsdd_runtime.sets.compression).
    coded: CodedImages | None

    def __init__(
        self,
        gaussians: Tensor | None,
        labels: Tensor,
        height: int,
        width: int,
        *,
        pixels: Tensor | None = None,
        class_names: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        zca: Tensor | None = None,
        ipc: int | None = None,
        gpc: int | None = None,
        method: str | None = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        fingerprint: str | None = None,
        versions: Mapping[str, str] | None = None,
        training: Mapping[str, Any] | None = None,
        accuracy: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        where = "the distilled set"
        if (gaussians is None) == (pixels is None):
            raise InputError(f"{where}: give either gaussians or pixels")
        tensors = {"gaussians": gaussians, "pixels": pixels, "labels": labels, "zca": zca}
        fields = {
            "height": height, "width": width, "class_names": class_names, "mean": mean, "std": std,
            "ipc": ipc, "gpc": gpc, "method": method, "options": options, "seed": seed,
            "fingerprint": fingerprint, "versions": versions, "training": training,
            "accuracy": accuracy,
        }  # fmt: skip
        self._fill(where, fields, {name: tensor for name, tensor in tensors.items() if tensor is not None})
        self.verify()

    def _fill(
        self, where: str, fields: Mapping[str, Any], tensors: Mapping[str, Tensor], source: Source | None = None
    ) -> None:
        """Takes fields and tensors once their forms, not yet their values, are checked."""
        self._where = where
        self._identity: Identity | None = None
        self.path: Path | None = None
        self.coded = None
        self.channels, self.classes = checks.check_forms(where, fields, tensors)
        self.height: int = fields["height"]
        self.width: int = fields["width"]
        self._stored = StoredTensors(where, tensors, self.classes, source)
        names = fields.get("class_names")
        if names is not None:
            checks.check_class_names(where, names, self.classes)
        self.class_names: tuple[str, ...] | None = None if names is None else tuple(names)
        mean, std = fields.get("mean"), fields.get("std")
        checks.check_normalization(where, mean, std, self.channels)
        self.mean: tuple[float, ...] | None = None if mean is None else tuple(float(value) for value in mean)
        self.std: tuple[float, ...] | None = None if std is None else tuple(float(value) for value in std)
        checks.check_description(where, fields)
        self.ipc: int | None = fields.get("ipc")
        self.gpc: int | None = fields.get("gpc")
        self.method: str | None = fields.get("method")
        self.options: dict[str, Any] = dict(fields.get("options") or {})
        self.seed: int | None = fields.get("seed")
        self.fingerprint: str | None = fields.get("fingerprint")
        self.versions: dict[str, str] = dict(fields.get("versions") or {})
        self.training: dict[str, Any] = dict(fields.get("training") or {})
        self.accuracy: list[dict[str, Any]] = [dict(one) for one in fields.get("accuracy") or ()]

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, identity: Identity | None = None) -> DistilledSet:
        """Opens a file. Up to 16 MiB it is copied into memory and checked, and the file may then go or change.

        A larger one is mapped: its header is read and every form checked, each row when it is used. ``verify``
        checks all. Once it is cut short or changed in place, every use raises InputError; docs/file-format.md says
        what cannot be seen.

        Args:
            path: of the file.
            identity: of a set that was read from it: the file must be the same still.

        Raises:
            InputError: the file cannot be read, is no distilled set, is damaged, is of a newer format, or is another
                than ``identity``.
        """
        file = read_set_file(path)
        if identity is not None and file.identity != identity:
            raise InputError(
                f"{path} was replaced or written to after the set was opened from it in another process: "
                "open the set again there, so that all see the same"
            )
        result = cls.__new__(cls)
        result._fill(str(path), file.fields, file.tensors, file.source)
        result.path, result._identity = Path(path), file.identity
        result.coded = file.coded
        if file.source is None:
            result.verify()
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file, whole or not at all; docs/file-format.md describes it.

        Raises:
            InputError: a value that may not be in a file, or the file cannot be written.
        """
        self._stored.check_values()
        write_set_file(path, *self._contents(), self.coded)

    def check_saving(self) -> None:
        """Before long work on such a set: raises InputError for a value that :meth:`save` would refuse."""
        self._stored.check_values()
        check_description(*self._contents(), self.coded)

    def _contents(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The fields and tensors of the file, as they are where nothing is coded."""
        names = (
            "height", "width", "channels", "classes", "class_names", "mean", "std", "ipc", "gpc", "method",
            "options", "seed", "fingerprint", "versions",
        )  # fmt: skip
        self._stored.check_source()
        fields = {name: getattr(self, name) for name in names}
        for name in ("training", "accuracy"):
            if getattr(self, name):
                fields[name] = getattr(self, name)
        return fields, dict(self._stored.tensors)

    def verify(self) -> None:
        """Checks every value, parameters finite and labels in range, unless that was done before.

        A mapped file that was written to since is checked again, and taken as it is now.

        Raises:
            InputError: a value that may not be in a set; a file that was cut short, or is another set by now.
        """
        self._stored.verify()

    def __repr__(self) -> str:
        gaussians = self.representation == "gaussians"
        kind = f"{counted(self._stored.images.shape[1], 'Gaussian')} an image" if gaussians else "pixels"
        return (
            f"DistilledSet({counted(len(self), 'image')} of {self.channels}x{self.height}x{self.width}, {kind}, "
            f"{counted(self.classes, 'class')}, {self.nbytes} bytes)"
        )

    @property
    def gaussians(self) -> Tensor | None:
        """bfloat16 ``[M, N, 6 + C]``, or None. Of a mapped file: a view, with the values that it has."""
        return self._stored.get("gaussians")

    @property
    def pixels(self) -> Tensor | None:
        """bfloat16 ``[M, C, height, width]``, or None. Of a mapped file as ``gaussians``."""
        return self._stored.get("pixels")

    @property
    def zca(self) -> Tensor | None:
        """float32 ``[D + 1, D]``, or None. Of a mapped file as ``gaussians``."""
        return self._stored.get("zca")

    @property
    def labels(self) -> Tensor:
        """int64 ``[M]``, or soft: float16 ``[M, classes]``. All are checked the first time."""
        return self._stored.labels()

    @property
    def hard_labels(self) -> Tensor:
        """int64 ``[M]``: the labels, or the likeliest class of soft ones."""
        labels = self.labels
        return labels if labels.dim() == 1 else labels.argmax(dim=1)

    @property
    def identity(self) -> Identity | None:
        """Of the file it was read from; None for a set that was made in memory."""
        return self._identity if self._stored.source is None else self._stored.source.identity

    @property
    def device(self) -> torch.device:
        """Where the tensors are; a mapped file's are on the CPU."""
        return self._stored.images.device

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors: what the file holds beside its header. Of a coded set, as they are coded."""
        uncoded = {name: tensor for name, tensor in self._stored.tensors.items() if name in ("labels", "zca")}
        if self.coded is not None and self.coded.labels:
            del uncoded["labels"]
        return self.image_nbytes + sum(map(_bytes, uncoded.values()))

    @property
    def image_nbytes(self) -> int:
        """Bytes of the images as the file holds them; hard labels of a coded set are among them."""
        return _bytes(self._stored.images if self.coded is None else self.coded.data)

    def to(self, device: str | torch.device) -> DistilledSet:
        """The set with its tensors on ``device``, checked as a whole; itself if it is there already."""
        if torch.device(device) == self.device:
            return self
        result = copy.copy(self)
        result._stored = self._stored.to(device)
        return result

    def with_coded(self, coded: CodedImages) -> DistilledSet:
        """A set that holds what ``coded`` decodes to, and is saved as it is coded; all else is the same.

        Raises:
            InputError: ``coded`` is damaged, or of another number of images or channels.
        """
        images, labels = coded.decode(self._where, self.height, self.width)
        fields, tensors = self._contents()
        tensors = {name: tensor for name, tensor in tensors.items() if name not in ("gaussians", "pixels")}
        tensors[coded.representation] = images
        fields.pop("accuracy", None)
        if labels is not None:
            tensors["labels"] = labels
        result = type(self).__new__(type(self))
        result._fill(self._where, fields, tensors)
        result.coded = coded
        result.verify()
        return result

    def changed(self, **changes: Any) -> DistilledSet:
        """A set in memory with other fields or tensors, by the names of the constructor's arguments.

        What it was measured to be worth is forgotten where that may be another. One that is coded is coded anew by the
        same steps where images or labels are given, unless they are no longer Gaussians, or pixels; classes are counted
        anew where labels or names are given.

        Raises:
            InputError: as the constructor; a name that it does not take.
        """
        fields, tensors = self._contents()
        held = ("gaussians", "pixels", "labels", "zca")
        for name, value in changes.items():
            if name not in (*held, *fields, "training", "accuracy") or name in ("channels", "classes"):
                raise InputError(f"a distilled set has no {name} to change")
            (tensors if name in held else fields)[name] = value
        if "accuracy" not in changes and {*held, "height", "width", "mean", "std", "training"} & changes.keys():
            fields.pop("accuracy", None)
        if {"gaussians", "pixels"} & changes.keys():
            del fields["channels"]
        if {"labels", "class_names"} & changes.keys():
            del fields["classes"]
        result = type(self).__new__(type(self))
        result._fill("the distilled set", fields, {name: each for name, each in tensors.items() if each is not None})
        if self.coded is not None and self.coded.representation != result.representation:
            result.verify()
            return result
        if self.coded is None or not {"gaussians", "pixels", "labels", "height", "width"} & changes.keys():
            result.coded = self.coded
            result.verify()
            return result
        labels = result.labels if result.labels.dim() == 1 else None
        return result.with_coded(encode_images(result.rows(), labels, result.height, result.width, self.coded.steps))


def check_distilled_set(value: object, name: str = "distilled_set") -> None:
    """Raises InputError unless ``value`` is a DistilledSet."""
    check_type(name, value, DistilledSet, "a DistilledSet", "open a file with gsdd.DistilledSet.load(PATH)")


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
