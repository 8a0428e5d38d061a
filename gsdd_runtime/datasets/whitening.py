"""ZCA whitening: the matrix that makes the pixels of the training images uncorrelated, as MTT and others train with.

The formula is that of ``kornia.enhance.ZCAWhitening``: with ``U``, ``S`` the eigenvectors and eigenvalues of the
covariance (divided by M - 1) of the images in [0, 1], ``T = U diag(1 / sqrt(S + eps)) U^T`` is applied to the image
less its mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gsdd_runtime.datasets.cache import Cache, UnusableError, cache_folder, key_of
from gsdd_runtime.errors import InputError
from gsdd_runtime.memory import check_memory
from gsdd_runtime.progress import Progress, Reporter, silent

# Of the published distillers.
EPSILON = 0.1
# Numbers of an image: 64 x 64 in colour take 600 MB and an hour, and nobody whitens larger ones.
MAX_NUMBERS = 3 * 64 * 64
# Fewer numbers are fitted faster than a matrix is worth keeping.
KEPT_FROM = 1000
# The matrix of the data that was asked for last, by its fingerprint.
_LAST: dict[str, Tensor] = {}
# Images multiplied at once: 256 products of two bytes add up below 2^24, exactly in float32.
_EXACT = 256


def kept_zca(images: Tensor, name: str, fingerprint: str | None, progress: Reporter = silent) -> Tensor:
    """As :func:`fit_zca`, or the matrix that was kept for data of that fingerprint where fitting takes its time."""
    if fingerprint is not None and fingerprint in _LAST:
        return _LAST[fingerprint]
    zca = _found_or_fitted(images, name, fingerprint, progress)
    if fingerprint is not None:
        _LAST.clear()
        _LAST[fingerprint] = zca
    return zca


def _found_or_fitted(images: Tensor, name: str, fingerprint: str | None, progress: Reporter) -> Tensor:
    numbers = images[0].numel() if len(images) else 0
    folder = cache_folder() if fingerprint is not None and KEPT_FROM <= numbers <= MAX_NUMBERS else None
    if folder is None:
        return fit_zca(images, name, progress)
    cache = Cache(folder)
    key = key_of([], {"zca": EPSILON, "fingerprint": fingerprint, "torch": torch.__version__})
    # An entry is bytes: four for each number.
    shape = (numbers + 1, 4 * numbers)
    try:
        with cache.sole_maker(key):
            kept = cache.find(key)
            if kept is None:
                zca = fit_zca(images, name, progress)
                with cache.making(key, shape) as (written, _):
                    written.copy_(zca.view(torch.uint8))
                return zca
            if tuple(kept.images.shape) == shape:
                return kept.images.view(torch.float32)
    except UnusableError:
        pass
    return fit_zca(images, name, progress)


def fit_zca(images: Tensor, name: str, progress: Reporter = silent) -> Tensor:
    """The whitening of uint8 images ``[M, C, H, W]``: float32 ``[D + 1, D]``, ``D = C * H * W``; last row the offset.

    The covariance is exact, so that it does not depend on threads or on the order of the images; its eigenvectors are
    found in float64. ``gsdd_runtime.sets.preparation.whitened`` applies it.

    Args:
        images: the training images.
        name: of the data, for messages.
        progress: told of the images that were multiplied.

    Raises:
        InputError: fewer than two images, images of more than ``MAX_NUMBERS`` numbers, too little memory.
    """
    count, numbers = len(images), images[0].numel() if len(images) else 0
    if count < 2:
        raise InputError(f"{name} has too few training images to whiten by: two are needed, or leave --zca out")
    if numbers > MAX_NUMBERS:
        raise InputError(
            f"{name}: whitening images of {'x'.join(map(str, images.shape[1:]))} takes a matrix of {numbers} x "
            f"{numbers}, at most {MAX_NUMBERS} are supported: leave --zca out, or give a smaller --size"
        )
    check_memory(4 * 8 * numbers**2, f"whitening {name}", "leave --zca out, or give a smaller --size")
    sums = torch.zeros(numbers, dtype=torch.float64)
    products = torch.zeros(numbers, numbers, dtype=torch.float64)
    for start in range(0, count, _EXACT):
        flat = images[start : start + _EXACT].flatten(1).float()
        sums += flat.double().sum(0)
        products += flat.T @ flat
        progress(Progress("fit zca", min(start + _EXACT, count), count))
    mean = sums / count
    covariance = (products - count * torch.outer(mean, mean)) / (count - 1) / 255.0**2
    values, vectors = torch.linalg.eigh(covariance)
    # Of images that are all alike in a direction, rounding may leave a value below 0.
    matrix = (vectors * (values.clamp(min=0) + EPSILON).rsqrt()) @ vectors.T
    return torch.cat([matrix, -(mean / 255.0 @ matrix).unsqueeze(0)]).float()
