"""The tensors of a set, and what is checked before each use of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.devices import send
from gsdd_runtime.sets import checks
from gsdd_runtime.sets.rows import Indices, select
from gsdd_runtime.sets.source import Source


class StoredTensors:
    """``gaussians`` or ``pixels``, ``labels`` and perhaps ``zca``, in memory or mapped from a file.

    Whatever hands one out asks first whether the mapped file still is what it was, and checks values that were not
    checked before.

    Args:
        where: begins an error.
        tensors: by name, of the forms that a set may have.
        classes: that labels may name.
        source: the file that they are mapped from.

    Attributes:
        tensors: for their shapes, dtypes and device: nothing is asked before they are read.
    """

    def __init__(self, where: str, tensors: Mapping[str, Tensor], classes: int, source: Source | None = None) -> None:
        self.tensors = dict(tensors)
        self.source = source
        self._where, self._classes = where, classes
        self._verified = self._labels_verified = False
        self._matrix: Tensor | None = None

    @property
    def representation(self) -> str:
        """``"gaussians"`` or ``"pixels"``."""
        return "gaussians" if "gaussians" in self.tensors else "pixels"

    @property
    def images(self) -> Tensor:
        """Gaussians or pixels, as unasked for as ``tensors``."""
        return self.tensors[self.representation]

    def get(self, name: str) -> Tensor | None:
        """A tensor, its values as they are; None where there is none of that name."""
        self.check_source()
        return self.tensors.get(name)

    def labels(self) -> Tensor:
        """int64 ``[M]`` or float16 ``[M, classes]``, all checked the first time."""
        self.check_source()
        labels = self.tensors["labels"]
        if not self._labels_verified:
            checks.check_label_values(self._where, labels, self._classes)
            self._labels_verified = True
        return labels

    def rows(self, indices: Indices) -> Tensor:
        """Gaussians or pixels at ``indices``, checked. A range is a view, anything else a copy."""
        images = self.images
        chosen = select(indices, images.shape[0])
        self.check_source()
        part = images[chosen] if isinstance(chosen, slice) else images.index_select(0, send(chosen, images.device))
        if not self._verified:
            numbers = range(chosen.start, chosen.stop) if isinstance(chosen, slice) else chosen
            checks.check_finite(self._where, self.representation, part, numbers)
        return part

    def matrix(self) -> Tensor | None:
        """``zca``, checked the first time, and in memory: it may outlive the file."""
        zca = self.get("zca")
        if zca is not None and self._matrix is None:
            matrix = zca if self.source is None else zca.clone()
            checks.check_finite(self._where, "zca", matrix)
            self.check_source()
            self._matrix = matrix
        return self._matrix

    def verify(self) -> None:
        """Checks all values unless that was done before; those of a file that was written to since once more."""
        if self.source is not None and self.source.renew():
            self._verified = self._labels_verified = False
            self._matrix = None
        if not self._verified:
            self.check_values()

    def check_values(self) -> None:
        """Checks all values as they are now."""
        self.check_source()
        for name in (self.representation, "zca"):
            if name in self.tensors:
                checks.check_finite(self._where, name, self.tensors[name])
        checks.check_label_values(self._where, self.tensors["labels"], self._classes)
        self.check_source()
        self._verified = self._labels_verified = True

    def check_source(self) -> None:
        """Raises InputError where the mapped file was cut short or changed."""
        if self.source is not None:
            self.source.check()

    def to(self, device: str | torch.device) -> StoredTensors:
        """On ``device``, in memory, and checked as a whole."""
        self.verify()
        moved = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        result = StoredTensors(self._where, moved, self._classes)
        result._verified = result._labels_verified = True
        return result

    def __getstate__(self) -> dict[str, Any]:
        # An open file does not travel to another process; the tensors do.
        self.check_source()
        return {**self.__dict__, "source": None, "_matrix": None}
