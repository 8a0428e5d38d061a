"""One image file: its header, and its pixels at a given size, by Pillow."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from gsdd_runtime.errors import InputError

if TYPE_CHECKING:
    from gsdd_runtime.datasets.packed import AnyPath

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
# Only these decoders are reachable, whatever the bytes in a file: none of them starts another program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
# Pillow's own limit against files that unpack to far more than they promise.
MAX_IMAGE_PIXELS = 89_478_485
_GRAY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
# Tag 339 of a TIFF, and its value for IEEE numbers.
_SAMPLE_FORMAT, _FLOATS = 339, 3
_SAVE_AS_BYTES = "scale its values to 0 to 255 and save it with 8 bits a channel"
_TURNED = (5, 6, 7, 8)
RESIZES = ("cover", "squash")
# Times the size wanted that a JPEG is decoded at least: what Pillow takes for its own thumbnails.
_KEPT = 2
_ORIENTATION = 0x0112

# Pillow logs some damage beside raising it; without a handler that would be a second line on stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class ImageHeader:
    """What a file says before its pixels: ``(height, width)``, and whether it is stored as gray."""

    size: tuple[int, int]
    gray: bool


def read_header(path: AnyPath, *, upright: bool) -> ImageHeader:
    """Reads the header of an image file.

    Args:
        path: the file, also in an archive.
        upright: give the size as shown, not as stored; for a PNG that costs reading all of it.

    Raises:
        InputError: it cannot be read, is no image, is one of floating point, or has more pixels than
            ``MAX_IMAGE_PIXELS``.
    """
    with _opened(path) as image:
        width, height = image.size
        if upright and image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        return ImageHeader((height, width), is_gray(image))


def read_image(path: AnyPath, size: tuple[int, int], channels: int, resize: str = "cover") -> Tensor:
    """The pixels, uint8 ``[channels, height, width]``, upright; of an animation, the first picture.

    A picture of another size is scaled (bilinearly, over the area of a pixel): until it covers ``size``, and cut around
    its centre; or to ``size``, whatever its shape is, where ``resize`` is ``"squash"``. A JPEG of four times the size
    or more is decoded at an eighth to a half of its own, never below twice the size. Transparent parts are laid over
    white. 16-bit gray keeps its upper eight bits.

    Raises:
        InputError: as ``read_header``, or the pixel data is damaged or ends early.
    """
    with _opened(path) as image:
        _draft(image, size)
        image.load()
        return as_shown(image, str(path), size, channels, resize)


def as_shown(image: Image.Image, where: str, size: tuple[int, int], channels: int, resize: str = "cover") -> Tensor:
    """The pixels of an open picture called ``where``, as :func:`read_image` gives them.

    Raises:
        InputError: floating-point values, or gray values beyond 16 bits.
    """
    if image.mode == "F":
        raise _float_image(where)
    picture = _flat(where, ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
    if picture.size != (size[1], size[0]) and resize == "squash":
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    elif picture.size != (size[1], size[0]):
        picture = ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(picture))
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1)


def _draft(image: Image.Image, size: tuple[int, int]) -> None:
    """Has a JPEG decoded smaller where it is scaled down by far: a part of the work, and hardly another picture."""
    if image.format != "JPEG":
        return
    height, width = size[::-1] if image.getexif().get(_ORIENTATION) in _TURNED else size
    image.draft(None, (_KEPT * width, _KEPT * height))


@contextmanager
def _opened(path: AnyPath) -> Iterator[Image.Image]:
    try:
        # Opening a pipe would wait for ever.
        if isinstance(path, Path) and not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path} is no ordinary file: remove it")
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise InputError(
                    f"{path} has {image.width}x{image.height} pixels, at most {MAX_IMAGE_PIXELS} are read: "
                    "shrink it first"
                )
            if image.mode == "F":
                raise _float_image(path)
            yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has more than {MAX_IMAGE_PIXELS} pixels: shrink it first") from error
    except UnidentifiedImageError as error:
        if _is_float_tiff(path):
            raise _float_image(path) from error
        raise InputError(f"{path} is no image that can be read ({', '.join(_FORMATS)}): repair or remove it") from error
    except OSError as error:
        if error.errno is None:
            raise _damaged(path, error) from error
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    # Pillow's decoders raise nearly anything on damaged data.
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: AnyPath, error: Exception) -> InputError:
    return InputError(f"{path} is a damaged image ({' '.join(str(error).split())[:200]}): repair or remove it")


def _float_image(path: AnyPath | str) -> InputError:
    return InputError(f"{path} is a floating-point image, which does not say its range: {_SAVE_AS_BYTES}")


def _is_float_tiff(path: AnyPath) -> bool:
    """Whether a file is a TIFF of floats of a kind that Pillow does not know: several channels, or half precision."""
    try:
        with path.open("rb") as file:
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
            return _FLOATS in tags.get(_SAMPLE_FORMAT, ())
    # As in reading: anything can come of damaged data.
    except Exception:
        return False


def is_gray(image: Image.Image) -> bool:
    """Whether a picture is stored as gray: of one channel, or with a palette of grays alone."""
    if image.mode != "P":
        return image.mode in _GRAY
    palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _flat(path: str, image: Image.Image, mode: str) -> Image.Image:
    """``image`` in ``mode``, ``L`` or ``RGB``, without transparency."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise InputError(f"{path} has gray values beyond 16 bits: {_SAVE_AS_BYTES}")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)
