"""The data-loading pipeline: batches of decoded images, on the device, ahead of use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.decoders import Decoder, check_batch_memory
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.loading.map_dataset import check_set_or_path
from gsdd_runtime.loading.opening import EXPORTED_SUFFIXES, open_decoder, open_exported
from gsdd_runtime.loading.prefetch import Batch, decode_ahead, placed
from gsdd_runtime.loading.sampling import batches_per_epoch, check_sharing, epoch_order
from gsdd_runtime.seeds import derived_seed
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.training.augmentation import chosen_augmentation, dsa
from gsdd_runtime.wording import counted

# Bytes of a set that are hashed at once.
_DIGEST_BYTES = 1 << 24

Augment = str | Callable[[Tensor], Tensor] | None


@dataclass(frozen=True)
class Place:
    """One batch of one epoch on this rank: its position, and its indices, int64 ``[batch]``."""

    epoch: int
    position: int
    indices: Tensor


class DistilledLoader:
    """An iterable of ``(images, labels)`` on a device, decoded from a distilled set batch by batch.

    Parameters stay on the device, whole batches are decoded in this process, and on a CUDA device ``prefetch``
    batches are decoded ahead on a side stream. Each ``for`` loop is one epoch, or ``steps`` batches.

    Args:
        set_or_path: a DistilledSet, the path of one, or the path of an exported decoder (``.onnx``, ``.engine``). Its
            images are converted to ``dtype`` and ``channels_last``, and normalised by the mean and std in the file;
            anything else that it was not exported with is refused.
        batch_size: images per batch and rank.
        decoder: ``"torch"``, ``"onnxruntime"``, ``"tensorrt"``, ``"auto"`` (the fastest that runs here), or an object
            with ``decode(indices) -> (images, labels)``, whose images are handed over as it makes them.
        device: where the images are wanted, as :func:`gsdd_runtime.devices.resolve_device` takes it.
        shuffle: a new order each epoch, from ``seed`` and the epoch alone.
        seed: of the order and of the augmentation.
        augment: ``"dsa"``, a function of a batch of images; ``"none"`` or None for none.
        dtype: of the images: float32, float16 or bfloat16.
        channels_last: lay the images out channels last.
        normalize: the images are what a network takes, as :meth:`DistilledSet.prepare` says; else in pixel units.
        size: ``(height, width)`` of the images; the native size if left out.
        drop_last: leave out the last batch of an epoch where it is not whole.
        rank, world_size: this process's share; found from torch.distributed where it runs. See
            :func:`gsdd_runtime.loading.sampling.epoch_order` for the rule of the remainder.
        prefetch: batches decoded ahead on a CUDA device.
        steps: batches of one ``for`` loop, over as many epochs as that takes; None for one epoch.

    Raises:
        InputError: an argument out of range, a set that cannot be opened, an exported file that cannot give the images
            that are asked for, a batch larger than the memory that is free, or a set that takes hours to draw.
    """

    def __init__(
        self,
        set_or_path: DistilledSet | str | os.PathLike[str],
        batch_size: int,
        *,
        decoder: str | Decoder = "auto",
        device: str | torch.device = "auto",
        shuffle: bool = True,
        seed: int = 0,
        augment: Augment = None,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        normalize: bool = True,
        size: tuple[int, int] | None = None,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        prefetch: int = 2,
        steps: int | None = None,
    ) -> None:
        check_set_or_path(set_or_path)
        if not isinstance(decoder, str) and not callable(getattr(decoder, "decode", None)):
            raise InputError(f"decoder must be a name or have decode(indices), got {type(decoder).__name__}")
        self.device = resolve_device(device)
        self._source = _open_source(set_or_path)
        form: dict[str, Any] = {
            "device": self.device, "dtype": dtype, "channels_last": channels_last, "normalize": normalize, "size": size,
        }  # fmt: skip
        if not isinstance(decoder, str):
            self.decoder = _checked_object(decoder, self._source, size)
        elif isinstance(self._source, Path):
            self.decoder = open_exported(self._source, decoder=decoder, **form)
        else:
            self.decoder = open_decoder(decoder, self._source, **form)
        self._length = len(self.decoder)
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self.rank, self.world_size = share(rank, world_size)
        check_sharing(
            self._length,
            batch_size=batch_size,
            drop_last=drop_last,
            rank=self.rank,
            world_size=self.world_size,
        )
        if isinstance(decoder, str):
            check_batch_memory(self.decoder, min(batch_size, self._length))
        if prefetch < 0 or (steps is not None and steps < 1):
            raise InputError(f"prefetch must be 0 or more and steps at least 1, got {prefetch} and {steps}")
        if not callable(augment):
            augment = chosen_augmentation(augment)
        self.augment, self.prefetch, self.steps = augment, prefetch, steps
        self._epoch = self._position = 0
        self._resumed = False
        self._running: int | None = None
        self._digest: str | None = None

    @property
    def epoch(self) -> int:
        """The epoch that is running, or that the next loop starts."""
        return self._epoch

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one whole epoch on this rank."""
        return batches_per_epoch(
            self._length,
            batch_size=self.batch_size,
            drop_last=self.drop_last,
            world_size=self.world_size,
        )

    def __len__(self) -> int:
        """Batches of the ``for`` loop that runs, or of the next: ``steps``, an epoch, or what a state left of one."""
        if self._running is not None:
            return self._running
        return self._batches_from(self._position if self._resumed else 0)

    def _batches_from(self, position: int) -> int:
        return self.batches_per_epoch - position if self.steps is None else self.steps

    def set_epoch(self, epoch: int) -> None:
        """The next loop starts with this epoch, as DistributedSampler's method of that name does.

        Raises:
            InputError: a negative epoch.
        """
        if epoch < 0:
            raise InputError(f"epoch must be 0 or more, got {epoch}")
        self._epoch, self._position, self._resumed = epoch, 0, False

    def __iter__(self) -> Iterator[Batch]:
        """One epoch, or ``steps`` batches.

        After ``load_state_dict`` it goes on behind the last batch that was taken. An epoch that was left in the middle
        otherwise counts as seen: the next loop starts the next one.
        """
        if self.steps is None and self._position > 0 and not self._resumed:
            self._epoch, self._position = self._epoch + 1, 0
        self._resumed = False
        count = self._batches_from(self._position)
        places = islice(self._places(self._epoch, self._position), count)
        self._running = count
        try:
            for place, batch in decode_ahead(places, self._decode, self.device, self.prefetch):
                # Moved on before the batch is handed out, so that a state taken in the loop's body counts it as taken.
                self._epoch, self._position = self._after(place)
                yield batch
        finally:
            self._running = None

    def _places(self, epoch: int, position: int) -> Iterator[Place]:
        """Every batch from a position on, without end."""
        while True:
            order = epoch_order(
                self._length,
                batch_size=self.batch_size,
                epoch=epoch,
                seed=self.seed,
                shuffle=self.shuffle,
                drop_last=self.drop_last,
                rank=self.rank,
                world_size=self.world_size,
            )
            for start in range(position * self.batch_size, len(order), self.batch_size):
                yield Place(epoch, start // self.batch_size, order[start : start + self.batch_size])
            epoch, position = epoch + 1, 0

    def _after(self, place: Place) -> tuple[int, int]:
        if place.position + 1 < self.batches_per_epoch:
            return place.epoch, place.position + 1
        return place.epoch + 1, 0

    def _decode(self, place: Place) -> Batch:
        try:
            images, labels = placed(self.decoder.decode(place.indices), self.device)
        except InputError:
            raise
        except Exception as error:
            name = type(self.decoder).__name__
            raise GsddError(
                f"decoding batch {place.position} of epoch {place.epoch} failed in {name}: {error}"
            ) from error
        if self.augment is None:
            return images, labels
        if callable(self.augment):
            return self.augment(images), labels
        seed = derived_seed(self.seed, "augment", place.epoch, place.position, self.rank)
        return dsa(images, torch.Generator().manual_seed(seed)), labels

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as a few JSON values: the batches handed out so far are not seen again."""
        return {**self._identity(), "epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on behind the last batch that was taken when ``state`` was.

        Raises:
            InputError: the state is of another set, seed, batch size or share.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise InputError(
                    f"the loader's state was saved with {name} {state.get(name)!r}, and this loader has {value!r}: "
                    "make the loader as it was"
                )
        epoch, position = state.get("epoch"), state.get("position")
        if not isinstance(epoch, int) or not isinstance(position, int) or epoch < 0 or position < 0:
            raise InputError(f"the loader's state is damaged: epoch {epoch!r}, position {position!r}")
        if position >= self.batches_per_epoch:
            raise InputError(
                f"the loader's state is damaged: position {position} of {counted(self.batches_per_epoch, 'batch')}"
            )
        self._epoch, self._position, self._resumed = epoch, position, True

    def _identity(self) -> dict[str, Any]:
        """What has to be the same for a state to mean the same batches."""
        if self._digest is None:
            self._digest = content_digest(self._source)
        return {
            "set": self._digest,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "world_size": self.world_size,
        }


def _open_source(set_or_path: DistilledSet | str | os.PathLike[str]) -> DistilledSet | Path:
    """The set, opened where a path names one; the path where it names an exported decoder."""
    if isinstance(set_or_path, DistilledSet):
        return set_or_path
    path = Path(set_or_path)
    return path if path.suffix in EXPORTED_SUFFIXES else DistilledSet.load(path)


def _checked_object(decoder: Decoder, source: DistilledSet | Path, size: tuple[int, int] | None) -> Decoder:
    """A decoder that the caller made, for a set."""
    if isinstance(source, Path):
        raise InputError(f"{source} is a decoder, and decoder={type(decoder).__name__} another: give one of them")
    own = (getattr(decoder, "height", None), getattr(decoder, "width", None))
    if size is not None and None not in own and tuple(size) != own:
        raise InputError(
            f"the decoder {type(decoder).__name__} gives images of {own[0]}x{own[1]}, not of {size[0]}x{size[1]}: "
            "make it with that size"
        )
    return decoder


def content_digest(source: DistilledSet | Path) -> str:
    """SHA-256 over the images and labels of a set, or over an exported file, in hexadecimal."""
    digest = hashlib.sha256()
    if isinstance(source, Path):
        digest.update(source.read_bytes())
        return digest.hexdigest()
    # Part by part, because a mapped file is checked before each.
    step = max(1, _DIGEST_BYTES * len(source) // source.nbytes)
    for first in range(0, len(source), step):
        digest.update(_content(source.rows(slice(first, first + step))))
    digest.update(_content(source.labels))
    return digest.hexdigest()


def _content(tensor: Tensor) -> memoryview:
    return tensor.contiguous().cpu().view(torch.uint8).reshape(-1).numpy().data


def share(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and world size: as given, else of torch.distributed where it runs, else 0 of 1."""
    if (rank is None) != (world_size is None):
        raise InputError("give both rank and world_size, or neither")
    if rank is not None and world_size is not None:
        return rank, world_size
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
