"""What a distilled set has to beat: real images of the same storage, chosen at random or by their features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.distillation.starts.herding import herded
from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import Network
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.origins import real_images_method
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.wording import counted

# Bytes a pixel and channel takes: real images are stored as they are, distilled pixels as bfloat16; the field
# counts 32-bit numbers.
REAL_PIXEL_BYTES = 1
FIELD_PIXEL_BYTES = 4
CHOICES = ("random", "herding", "kcenter")
# Images that a network embeds at once.
_EMBEDDED = 256


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
    """Training images chosen at random, without replacement, as a set of pixels; see :func:`real_set`."""
    return real_set(data, "random", storage_bytes_per_class, per_class=per_class, pixel_bytes=pixel_bytes, seed=seed)


def real_set(
    data: RealData,
    kind: str,
    storage_bytes_per_class: int | None = None,
    *,
    per_class: int | None = None,
    pixel_bytes: int = REAL_PIXEL_BYTES,
    embed: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
) -> DistilledSet:
    """Training images chosen for each class, as a set of pixels.

    The set keeps them as bfloat16 in [0, 1], which is what its file can hold: its own ``nbytes`` are twice
    what the images take as bytes. bfloat16 has 8 bits of precision, so pixel values change by up to 1/512 of
    themselves.

    Args:
        data: to choose from, its training part.
        kind: ``"random"``, without replacement; ``"herding"``, so that the mean of features stays near the class's
            (Welling 2009); ``"kcenter"``, each the farthest by features from those that were chosen before, the first
            the nearest to the class's mean (Sener and Savarese, arXiv 1708.00489).
        storage_bytes_per_class: the storage to fill, see :func:`real_images_in`; or
        per_class: images of each class. One of the two is needed.
        pixel_bytes: counted for a pixel and channel of a real image.
        embed: features, float32 ``[M, F]``, of uint8 images ``[M, C, H, W]``; not for ``"random"``.
        seed: of the random choice.

    Raises:
        InputError: a class with fewer images, a storage that holds none, both or neither of the two given, another
            kind, or one without features.
    """
    check_real_data(data)
    if kind not in CHOICES:
        raise InputError(f"no baseline {kind!r}: choose one of {', '.join(CHOICES)}")
    if (storage_bytes_per_class is None) == (per_class is None):
        raise InputError("give either the storage in bytes or the images of a class")
    if storage_bytes_per_class is not None:
        per_class = real_images_in(data, storage_bytes_per_class, pixel_bytes=pixel_bytes)
    if per_class is None or per_class < 1:
        raise InputError(f"per_class must be at least 1, got {per_class}")
    if kind != "random" and embed is None:
        raise InputError(f"{kind} chooses by features: give what embeds images")
    chosen = []
    for index in range(data.classes):
        members = torch.nonzero(data.train_labels == index).flatten()
        if len(members) < per_class:
            raise InputError(
                f"class {data.class_names[index]} of {data.name} has {counted(len(members), 'training image')}, "
                f"{per_class} are needed: lower the number of images a class"
            )
        if embed is None or kind == "random":
            generator = derived_generator(seed, "random real images", index)
            picked = torch.randperm(len(members), generator=generator)[:per_class]
        else:
            features = embed(data.train_images[members])
            picked = herded(features, per_class) if kind == "herding" else centers(features, per_class)
        chosen.append(members[picked])
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
        method=real_images_method(kind),
        seed=seed if kind == "random" else None,
        fingerprint=data.fingerprint,
    )


def centers(features: Tensor, count: int) -> Tensor:
    """Rows of ``features`` ``[M, F]``, each the farthest from its nearest one before; the first nearest to the mean.

    Args:
        features: of one class.
        count: at most M; every row is chosen once at most.

    Returns:
        int64 ``[count]``, in the order of the choice.
    """
    first = int((features - features.mean(dim=0)).square().sum(dim=1).argmin())
    chosen = [first]
    nearest = torch.full((len(features),), torch.inf, dtype=features.dtype)
    while len(chosen) < count:
        distances = (features - features[chosen[-1]]).square().sum(dim=1)
        nearest = torch.minimum(nearest, distances)
        # Equal images are no farther than 0: one that is taken must not come again.
        nearest[chosen[-1]] = -1
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def embedding(network: Network, preparation: Preparation, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Features of uint8 images ``[M, C, H, W]`` by a network, float32 ``[M, F]`` on the CPU."""
    network, preparation = network.eval().to(device), preparation.to(device)

    @torch.no_grad()
    def embed(images: Tensor) -> Tensor:
        parts = images.split(_EMBEDDED)
        return torch.cat([network.embed(preparation.apply(part.to(device).float() / 255)).cpu() for part in parts])

    return embed
