"""Ways to feed a training loop with the same images: what the loader is measured against."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gsdd_runtime.bench.dali_files import DaliFiles, can_decode_files
from gsdd_runtime.loading.loader import DistilledLoader
from gsdd_runtime.loading.prefetch import Batch
from gsdd_runtime.sets.distilled_set import DistilledSet

JPEG_QUALITY = 90


class Feed(Protocol):
    """Batches without end: float32 images, normalised, and labels, on the device that trains."""

    name: str
    ahead: int
    """Batches that are made while nobody asks: taken, untimed, before a measurement begins."""

    def batches(self) -> Iterator[Batch]: ...


class Memory:
    """Decoded images that are in the device's memory already: nothing is left to do but to pick. The floor."""

    name = "decoded, in memory"
    ahead = 0

    def __init__(self, distilled: DistilledSet, batch_size: int, device: torch.device) -> None:
        self._images = distilled.decode(normalize=True).to(device)
        self._labels = distilled.hard_labels.to(device)
        self._batch_size = batch_size

    def batches(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(0)
        while True:
            order = torch.randperm(len(self._labels), generator=generator).to(self._labels.device)
            for indices in order.split(self._batch_size):
                yield self._images[indices], self._labels[indices]


class Gaussians:
    """Our loader."""

    name = "gsdd loader"

    def __init__(self, distilled: DistilledSet, batch_size: int, device: torch.device) -> None:
        self._loader = DistilledLoader(distilled, batch_size, device=device, steps=1 << 40)
        self.ahead = self._loader.prefetch if device.type == "cuda" else 0

    def batches(self) -> Iterator[Batch]:
        return iter(self._loader)


class Stored(Dataset[tuple[Tensor, int]]):
    """Images as they would lie on a disk, each normalised where it is read."""

    def __init__(self, distilled: DistilledSet, folder: Path) -> None:
        mean, std = distilled.mean, distilled.std
        assert mean is not None
        assert std is not None
        self._mean = torch.tensor(mean).view(-1, 1, 1)
        self._std = torch.tensor(std).view(-1, 1, 1)
        self.labels = distilled.hard_labels.tolist()
        pixels = (distilled.decode().clamp(0, 1) * 255).round().byte()
        self._write(pixels, folder)

    def _write(self, pixels: Tensor, folder: Path) -> None:
        raise NotImplementedError

    def _read(self, index: int) -> Tensor:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return (self._read(index).float().div_(255) - self._mean) / self._std, self.labels[index]


class JpegFiles(Stored):
    """One JPEG file an image."""

    def _write(self, pixels: Tensor, folder: Path) -> None:
        self.paths = [folder / f"{index}.jpg" for index in range(len(pixels))]
        for path, image in zip(self.paths, pixels, strict=True):
            array = image.permute(1, 2, 0).squeeze(-1).numpy()
            Image.fromarray(array).save(path, quality=JPEG_QUALITY)

    def _read(self, index: int) -> Tensor:
        with Image.open(io.BytesIO(self.paths[index].read_bytes())) as image:
            array = np.array(image)
        return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


class RawArray(Stored):
    """One memory-mapped uint8 array of all images."""

    def _write(self, pixels: Tensor, folder: Path) -> None:
        path = folder / "images.npy"
        np.save(path, pixels.numpy(), allow_pickle=False)
        self._array = np.load(path, mmap_mode="r")

    def _read(self, index: int) -> Tensor:
        return torch.from_numpy(np.array(self._array[index]))


class Workers:
    """A DataLoader with worker processes over stored images."""

    def __init__(self, name: str, stored: Stored, batch_size: int, device: torch.device, workers: int) -> None:
        self.name = name
        self._device = device
        self._loader = DataLoader(
            stored,
            batch_size=batch_size,
            shuffle=True,
            generator=torch.Generator().manual_seed(0),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )
        self.ahead = workers * (self._loader.prefetch_factor or 0)

    def batches(self) -> Iterator[Batch]:
        for images, labels in chain.from_iterable(repeat(self._loader)):
            yield images.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)


def all_feeds(distilled: DistilledSet, batch_size: int, device: torch.device, workers: int, folder: Path) -> list[Feed]:
    """The floor first, then ours, then files; those by DALI where it is installed with its decoders."""
    jpeg, raw = JpegFiles(distilled, folder), RawArray(distilled, folder)
    feeds: list[Feed] = [
        Memory(distilled, batch_size, device),
        Gaussians(distilled, batch_size, device),
        Workers("JPEG files, DataLoader", jpeg, batch_size, device, workers),
        Workers("uint8 array, DataLoader", raw, batch_size, device, workers),
    ]
    if can_decode_files():
        assert distilled.mean is not None
        assert distilled.std is not None
        statistics = distilled.mean, distilled.std
        feeds.append(DaliFiles(jpeg.paths, jpeg.labels, *statistics, batch_size, device, workers))
    return feeds
