"""What a distilled set has to beat: randomly chosen real images of the same storage."""

from __future__ import annotations

import torch

from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.errors import InputError
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.wording import counted

# Bytes a pixel and channel takes: real images are stored as they are, distilled pixels as bfloat16; the field
# counts 32-bit numbers.
REAL_PIXEL_BYTES = 1
FIELD_PIXEL_BYTES = 4


def real_images_in(data: RealData, storage_bytes_per_class: int, *, pixel_bytes: int = REAL_PIXEL_BYTES) -> int:
    """Real images of a class that fit in a storage, if each pixel and channel takes ``pixel_bytes``.

    The fair count for real images is 1 byte; the field's papers count them as 32-bit numbers,
    ``FIELD_PIXEL_BYTES``, which grants a quarter of the images.

    Raises:
        InputError: not even one fits.
    """
    image = data.channels * data.height * data.width * pixel_bytes
    count = storage_bytes_per_class // image
    if count < 1:
        raise InputError(
            f"{storage_bytes_per_class} bytes a class do not hold one real image of {image} bytes: "
            "raise the storage, or count fewer bytes a pixel"
        )
    return count


def random_real_set(
    data: RealData,
    storage_bytes_per_class: int | None = None,
    *,
    per_class: int | None = None,
    pixel_bytes: int = REAL_PIXEL_BYTES,
    seed: int = 0,
) -> DistilledSet:
    """Training images chosen at random, without replacement, as a set of pixels.

    The set keeps them as bfloat16 in [0, 1], which is what its file can hold: its own ``nbytes`` are twice
    what the images take as bytes. bfloat16 has 8 bits of precision, so pixel values change by up to 1/512 of
    themselves.

    Args:
        data: to choose from, its training part.
        storage_bytes_per_class: the storage to fill, see :func:`real_images_in`; or
        per_class: images of each class. One of the two is needed.
        pixel_bytes: counted for a pixel and channel of a real image.
        seed: of the choice.

    Raises:
        InputError: a class with fewer images, a storage that holds none, or both or neither of the two given.
    """
    check_real_data(data)
    if (storage_bytes_per_class is None) == (per_class is None):
        raise InputError("give either the storage in bytes or the images of a class")
    if storage_bytes_per_class is not None:
        per_class = real_images_in(data, storage_bytes_per_class, pixel_bytes=pixel_bytes)
    if per_class is None or per_class < 1:
        raise InputError(f"per_class must be at least 1, got {per_class}")
    chosen = []
    for index in range(data.classes):
        members = torch.nonzero(data.train_labels == index).flatten()
        if len(members) < per_class:
            raise InputError(
                f"class {data.class_names[index]} of {data.name} has {counted(len(members), 'training image')}, "
                f"{per_class} are needed: lower the number of images a class"
            )
        generator = derived_generator(seed, "random real images", index)
        chosen.append(members[torch.randperm(len(members), generator=generator)[:per_class]])
    indices = torch.cat(chosen)
    return DistilledSet(
        None,
        data.train_labels[indices],
        data.height,
        data.width,
        pixels=(data.train_images[indices].float() / 255).to(torch.bfloat16),
        class_names=data.class_names,
        mean=data.mean,
        std=data.std,
        zca=data.zca,
        gpc=per_class,
        method="random-real",
        seed=seed,
        fingerprint=data.fingerprint,
    )
