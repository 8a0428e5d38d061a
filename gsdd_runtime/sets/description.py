"""What there is to say of a distilled set, for people and for ``gsdd-rt info --json``."""

from __future__ import annotations

from typing import Any

from gsdd_runtime.sets.distilled_set import DistilledSet

_PIXEL_BYTES = 4


def description(distilled_set: DistilledSet) -> dict[str, Any]:
    """Facts by name, all of them JSON values.

    ``downscale`` is the whole factor that stored pixels are smaller by than the native size, None for Gaussians.
    ``image_bytes`` are those of the Gaussians or pixels alone, ``payload_bytes`` those of all tensors.
    ``storage_in_images_per_class`` is ``image_bytes`` counted in float32 images of the native size for each
    class: the IPC that the set's storage amounts to. ``images_per_class`` is a number, or the least and the
    most. ``bits_per_class`` are those of all that training on the set needs, and of images, labels (null where they are
    coded among the images) and whitening apart.
    """
    image_bytes = distilled_set.image_nbytes
    size = distilled_set.channels * distilled_set.height * distilled_set.width
    gaussians, pixels = distilled_set.gaussians, distilled_set.pixels
    return {
        "representation": distilled_set.representation,
        "images": len(distilled_set),
        "classes": distilled_set.classes,
        "images_per_class": _images_per_class(distilled_set),
        "height": distilled_set.height,
        "width": distilled_set.width,
        "channels": distilled_set.channels,
        "gaussians_per_image": None if gaussians is None else gaussians.shape[1],
        "parameters_per_gaussian": None if gaussians is None else gaussians.shape[2],
        "downscale": None if pixels is None else distilled_set.height // pixels.shape[2],
        "labels": "hard" if distilled_set.labels.dim() == 1 else "soft",
        "payload_bytes": distilled_set.nbytes,
        "image_bytes": image_bytes,
        "bits_per_class": _bits_per_class(distilled_set),
        "coding": None if distilled_set.coded is None else distilled_set.coded.to_fields(),
        "storage_in_images_per_class": image_bytes / (distilled_set.classes * size * _PIXEL_BYTES),
        "ipc": distilled_set.ipc,
        "gpc": distilled_set.gpc,
        "method": distilled_set.method,
        "options": distilled_set.options,
        "training": distilled_set.training,
        "accuracy": distilled_set.accuracy or None,
        "seed": distilled_set.seed,
        "mean": None if distilled_set.mean is None else list(distilled_set.mean),
        "std": None if distilled_set.std is None else list(distilled_set.std),
        "zca": distilled_set.zca is not None,
        "class_names": None if distilled_set.class_names is None else list(distilled_set.class_names),
        "fingerprint": distilled_set.fingerprint,
        "versions": distilled_set.versions,
    }


def _images_per_class(distilled_set: DistilledSet) -> int | dict[str, int]:
    counts = distilled_set.hard_labels.bincount(minlength=distilled_set.classes)
    least, most = int(counts.min()), int(counts.max())
    return least if least == most else {"least": least, "most": most}


def _bits_per_class(distilled_set: DistilledSet) -> dict[str, float | None]:
    zca = distilled_set.zca
    whitening = 0 if zca is None else zca.numel() * zca.element_size()
    among = distilled_set.coded is not None and distilled_set.coded.labels
    parts = {
        "all": distilled_set.nbytes,
        "images": distilled_set.image_nbytes,
        "labels": None if among else distilled_set.nbytes - distilled_set.image_nbytes - whitening,
        "whitening": whitening,
    }
    return {name: None if size is None else 8 * size / distilled_set.classes for name, size in parts.items()}
