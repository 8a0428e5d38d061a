"""JPEG by libjpeg-turbo, to the same float tensor: at equal bytes, and at equal quality.

simplejpeg calls libjpeg-turbo most directly and writes into a given buffer; without it Pillow's libjpeg-turbo
does. The bytes counted are those of the coded picture: the tables in a file's head can be shared by a whole set.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import PIL
import torch
from PIL import Image, features
from torch import Tensor

from gsdd_runtime.bench.points import Workload

_START_OF_SCAN = b"\xff\xda"


def library() -> str:
    """What decodes here, with its version."""
    turbo = features.version_feature("libjpeg_turbo") if features.check_feature("libjpeg_turbo") else None
    if find_spec("simplejpeg") is not None:
        import simplejpeg

        return f"simplejpeg {simplejpeg.__version__}"
    return f"Pillow {PIL.__version__} with " + (f"libjpeg-turbo {turbo}" if turbo else "plain libjpeg")


@dataclass(frozen=True)
class Encoding:
    """A set of images at one quality setting."""

    quality: int
    files: tuple[bytes, ...]
    bytes_per_image: float
    psnr: float


def encode(images: Tensor, quality: int) -> Encoding:
    """uint8 ``[M, C, H, W]`` as baseline JPEG, 4:2:0 where in colour, with optimised Huffman tables."""
    files = []
    errors = []
    for image in images.numpy():
        picture = Image.fromarray(image[0]) if len(image) == 1 else Image.fromarray(image.transpose(1, 2, 0))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality, optimize=True, subsampling=-1 if len(image) == 1 else 2)
        files.append(stream.getvalue())
        decoded = np.asarray(Image.open(io.BytesIO(files[-1])), dtype=np.float64).reshape(*image.shape[1:], -1)
        errors.append(((decoded - image.transpose(1, 2, 0)) ** 2).mean() / 255**2)
    coded = [len(file) - file.index(_START_OF_SCAN) for file in files]
    psnr = float(np.mean(-10 * np.log10(np.maximum(errors, 1e-10))))
    return Encoding(quality, tuple(files), float(np.mean(coded)), psnr)


def at_equal_bytes(images: Tensor, budget: int) -> Encoding:
    """The best quality within ``budget`` bytes an image, or the least quality where none is."""
    low, high = 1, 95
    while low < high:
        middle = (low + high + 1) // 2
        if encode(images, middle).bytes_per_image <= budget:
            low = middle
        else:
            high = middle - 1
    return encode(images, low)


def at_equal_quality(images: Tensor, psnr: float) -> Encoding:
    """The least quality setting whose mean PSNR is at least ``psnr`` dB, or the best there is."""
    low, high = 1, 95
    while low < high:
        middle = (low + high) // 2
        if encode(images, middle).psnr >= psnr:
            high = middle
        else:
            low = middle + 1
    return encode(images, low)


class Jpeg:
    """Decodes on as many threads as are given, then converts the whole batch with torch."""

    def __init__(self, workload: Workload, encoding: Encoding, equal: str, threads: int) -> None:
        point = workload.point
        self.name = f"JPEG at equal {equal}"
        self.images = point.batch
        self.bytes_per_image = encoding.bytes_per_image
        self.psnr = encoding.psnr
        self.note = f"quality {encoding.quality}, {library()}, tables not counted"
        self._files = [encoding.files[k] for k in workload.indices.tolist()]
        self._pixels = np.empty((point.batch, point.side, point.side, point.channels), np.uint8)
        self._parts = [range(part, point.batch, threads) for part in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._decode_one = _decoder(point.channels)

    def _decode_part(self, part: range) -> None:
        for k in part:
            self._decode_one(self._files[k], self._pixels[k])

    def decode(self) -> Tensor:
        if self._pool is None:
            self._decode_part(self._parts[0])
        else:
            list(self._pool.map(self._decode_part, self._parts))
        pixels = torch.from_numpy(self._pixels).permute(0, 3, 1, 2)
        return pixels.to(torch.float32, memory_format=torch.contiguous_format).mul_(1 / 255)


def _decoder(channels: int) -> Callable[[bytes, np.ndarray], None]:
    """Decodes one file into a ``[H, W, C]`` array."""
    if find_spec("simplejpeg") is not None:
        import simplejpeg

        colorspace = "GRAY" if channels == 1 else "RGB"

        def by_simplejpeg(file: bytes, into: np.ndarray) -> None:
            simplejpeg.decode_jpeg(file, colorspace, buffer=into)

        return by_simplejpeg

    def by_pillow(file: bytes, into: np.ndarray) -> None:
        into[:] = np.asarray(Image.open(io.BytesIO(file))).reshape(into.shape)

    return by_pillow
