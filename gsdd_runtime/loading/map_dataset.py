"""Distilled sets for an ordinary ``torch.utils.data.DataLoader``, with workers or without."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from gsdd_runtime.decoders import Decoder
from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.loading.prefetch import Batch, decode_ahead, placed
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.rows import select
from gsdd_runtime.sets.source import Identity

Sample = tuple[Tensor, Tensor] | dict[str, Tensor] | Tensor


class DistilledDataset(Dataset[Sample]):
    """A map-style dataset of ``(image, label)``: what DataLoader, Lightning and Trainer take as it is.

    A whole batch is decoded at once (``__getitems__``), on the CPU, in whichever process asks: CUDA is never touched in
    a worker. To decode on the device, let workers hand over indices (``indices_only=True``) and wrap the DataLoader in
    :func:`decoded`.

    Args:
        set_or_path: a DistilledSet on the CPU, or the path of one. A set from a file is opened anew in each worker that
            is spawned, where another file of that name is refused.
        normalize, size, dtype: as :meth:`DistilledSet.decode` takes them.
        as_dict: samples are ``{"pixel_values": image, "labels": label}``, as Hugging Face's Trainer takes them.
        indices_only: samples are int64 indices.

    Raises:
        InputError: a set that cannot be opened, that has nothing to normalise with, or that whitens another size.
    """

    def __init__(
        self,
        set_or_path: DistilledSet | str | os.PathLike[str],
        *,
        normalize: bool = True,
        size: tuple[int, int] | None = None,
        dtype: torch.dtype = torch.float32,
        as_dict: bool = False,
        indices_only: bool = False,
    ) -> None:
        check_set_or_path(set_or_path)
        self._set: DistilledSet | None = (
            set_or_path if isinstance(set_or_path, DistilledSet) else DistilledSet.load(set_or_path)
        )
        self._identity: Identity | None = None
        if self.distilled_set.device.type != "cpu":
            raise InputError("DistilledDataset decodes on the CPU: give a set on the CPU, or use DistilledLoader")
        if normalize:
            self.distilled_set.preparation.for_size(*(size or (self.distilled_set.height, self.distilled_set.width)))
        self.distilled_set.check_drawing(None, *(size or (None, None)))
        self.distilled_set.labels  # noqa: B018 - reading them checks them, before a worker does
        self._normalize, self._size, self._dtype = normalize, size, dtype
        self._as_dict, self._indices_only = as_dict, indices_only

    @property
    def distilled_set(self) -> DistilledSet:
        """The set; in another process opened again when it is first used.

        Raises:
            InputError: its file was replaced or changed since.
        """
        if self._set is None:
            assert self._identity is not None
            self._set = DistilledSet.load(self._identity.path, identity=self._identity)
        return self._set

    def __len__(self) -> int:
        return len(self.distilled_set)

    def __getitem__(self, index: int) -> Sample:
        """The sample at an index, from the end where it is negative.

        Raises:
            OutOfRangeError: there is none, which ends a loop over the dataset; an IndexError.
            InputError: no whole number, or a file that changed while it was mapped.
        """
        try:
            number = operator.index(index)
        except TypeError as error:
            raise InputError(f"an index must be a whole number, got {type(index).__name__}") from error
        return self.__getitems__([number])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """One sample an index; the images of all are decoded in one call.

        Raises:
            InputError: an index out of -M to M - 1, or a file that changed while it was mapped.
        """
        count = len(self)
        chosen = cast(Tensor, select([n + count if -count <= n < 0 else n for n in indices], count))
        if self._indices_only:
            return list(chosen)
        height, width = self._size or (None, None)
        images = self.distilled_set.decode(chosen, height, width, normalize=self._normalize, dtype=self._dtype)
        pairs = zip(images, self.distilled_set.labels[chosen], strict=True)
        if self._as_dict:
            return [{"pixel_values": image, "labels": label} for image, label in pairs]
        return list(pairs)

    def __getstate__(self) -> dict[str, object]:
        # A worker opens the file itself: nothing is copied to it, however large the set. It does so when it is asked
        # for the first batch, because what it raises before that does not reach the process that asks.
        state = dict(self.__dict__)
        if self._set is not None and self._set.identity is not None:
            state["_set"], state["_identity"] = None, self._set.identity
        return state


def decoded(
    index_batches: Iterable[Tensor], decoder: Decoder, device: torch.device, prefetch: int = 2
) -> Iterator[Batch]:
    """Batches of images and labels for batches of indices, decoded in this process and, on CUDA, ahead of use.

    Args:
        index_batches: int64 ``[B]`` each; a DataLoader over ``DistilledDataset(..., indices_only=True)``, for example,
            with any sampler and any number of workers.
        decoder: such as :func:`gsdd_runtime.loading.opening.open_decoder` gives; its images and labels are handed over.
        device: where both are wanted.
        prefetch: batches decoded ahead on a CUDA device.

    Raises:
        InputError: an index that the set does not have.
    """

    def decode(indices: Tensor) -> Batch:
        return placed(decoder.decode(indices), device)

    for _, batch in decode_ahead(iter(index_batches), decode, device, prefetch):
        yield batch


def check_set_or_path(value: object) -> None:
    """Raises InputError unless ``value`` is a DistilledSet or a path."""
    remedy = "make a set of tensors with gsdd.DistilledSet(GAUSSIANS, LABELS, HEIGHT, WIDTH)"
    check_type("set_or_path", value, (DistilledSet, str, os.PathLike), "a DistilledSet or a path", remedy)
