"""A distilled set as a pipeline of NVIDIA DALI: what an iterator of DALI feeds to PyTorch or JAX.

The rows of a batch come from the set, its images are drawn by our operator on DALI's backend, and all that follows is
DALI's own: moves, flips, mean and deviation, dtype, layout.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsdd_runtime.decoders.dali_operator import load_operator
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
from gsdd_runtime.loading.loader import content_digest, share
from gsdd_runtime.loading.map_dataset import check_set_or_path
from gsdd_runtime.loading.sampling import batches_per_epoch, check_sharing, epoch_order
from gsdd_runtime.seeds import derived_seed
from gsdd_runtime.sets.cost import check_image_memory
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.rows import output_side

if TYPE_CHECKING:
    from nvidia.dali import Pipeline

OUTPUTS = ("images", "labels")
_DTYPES = {torch.float32: "FLOAT", torch.float16: "FLOAT16"}


def pipeline(
    set_or_path: DistilledSet | str | os.PathLike[str],
    batch_size: int,
    *,
    device: str | torch.device = "auto",
    shuffle: bool = True,
    seed: int = 0,
    flip: bool = False,
    shift: int = 0,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    normalize: bool = True,
    size: tuple[int, int] | None = None,
    drop_last: bool = False,
    rank: int | None = None,
    world_size: int | None = None,
    num_threads: int = 2,
    prefetch: int = 2,
    state: Mapping[str, Any] | None = None,
) -> Pipeline:
    """A pipeline of DALI with the outputs :data:`OUTPUTS`, built and ready to run.

    An epoch is the one that :class:`gsdd_runtime.DistilledLoader` makes of the same arguments, image for image; it ends
    with StopIteration, and its last batch may be smaller. Images are ``[C, H, W]`` a sample, labels int64 scalars, or
    soft ones float32 ``[classes]``.

    Args:
        set_or_path: a DistilledSet, or the path of one.
        batch_size: images per batch and rank.
        device: where images are made and handed over: ``"cpu"``, ``"cuda"``, or ``"auto"``.
        shuffle: a new order each epoch, from ``seed`` and the epoch alone.
        seed: of the order, and of what DALI draws.
        flip: mirror every second image, by chance, left to right.
        shift: move images by up to so many pixels in both directions; what comes in is the mean colour.
        dtype: of the images: float32 or float16.
        channels_last: images are ``[H, W, C]`` a sample.
        normalize: ``(image - mean) / std``, by the set's own; else pixel units.
        size: ``(height, width)`` of the images; the native size if left out.
        drop_last, rank, world_size: as of :class:`gsdd_runtime.DistilledLoader`.
        num_threads: of DALI's pool, in which the CPU draws.
        prefetch: batches that DALI makes ahead.
        state: of :func:`state_dict`: the pipeline goes on behind the last batch that was taken then.

    Raises:
        InputError: an argument out of range; a set that cannot be opened, or is whitened (``zca``), which DALI has no
            operator for; a state of another set or of other arguments.
        GsddError: DALI or our library is not installed; the message says how to get it.
    """
    check_set_or_path(set_or_path)
    distilled = set_or_path if isinstance(set_or_path, DistilledSet) else DistilledSet.load(set_or_path)
    target = resolve_device(device)
    own = (distilled.height, distilled.width)
    sides = (output_side("height", size and size[0], own[0]), output_side("width", size and size[1], own[1]))
    _check(distilled, sides, batch_size, dtype, normalize, shift, num_threads, prefetch)
    rank, world_size = share(rank, world_size)
    sharing: dict[str, Any] = {"drop_last": drop_last, "world_size": world_size}
    check_sharing(len(distilled), batch_size=batch_size, rank=rank, **sharing)
    identity = {
        "set": content_digest(distilled), "batch_size": batch_size, "shuffle": shuffle, "seed": seed, "flip": flip,
        "shift": shift, "normalize": normalize, "size": list(sides), "rank": rank, **sharing,
    }  # fmt: skip
    checkpoint = _checkpoint(state, identity)
    dali: Any = load_operator()
    if target.type == "cuda" and "gsdd__GaussianSplat" not in dali.ops.gpu_ops():
        raise LibraryNotBuiltError("our library for DALI was built without CUDA: build it where nvcc is (docs/dali.md)")

    @lru_cache(maxsize=1)
    def order(epoch: int) -> Tensor:
        return epoch_order(
            len(distilled), batch_size=batch_size, epoch=epoch, seed=seed, shuffle=shuffle, rank=rank, **sharing
        )

    def indices(epoch: int, iteration: int) -> Tensor:
        if iteration >= batches_per_epoch(len(distilled), batch_size=batch_size, **sharing):
            raise StopIteration
        return order(epoch)[iteration * batch_size : (iteration + 1) * batch_size]

    made = dali.Pipeline(
        batch_size=batch_size,
        num_threads=num_threads,
        device_id=target.index if target.type == "cuda" else None,
        seed=derived_seed(seed, "dali", rank) & 0x7FFFFFFF,
        prefetch_queue_depth=prefetch,
        enable_checkpointing=True,
        checkpoint=checkpoint,
    )
    with made:
        images, labels = _read(dali.fn, distilled, indices, sides)
        if distilled.representation == "gaussians":
            images = _draw(dali.fn, images.gpu() if target.type == "cuda" else images, own, sides)
        elif target.type == "cuda":
            images = images.gpu()
        images = _finish(dali, distilled, images, sides, flip, shift, normalize, dtype, channels_last)
        made.set_outputs(images, labels.gpu() if target.type == "cuda" else labels)
    made.gsdd_identity = identity
    try:
        made.build()
    except RuntimeError as error:
        if checkpoint is None:
            raise GsddError(f"DALI cannot build the pipeline: {error}") from error
        raise InputError(f"the pipeline's state is damaged: {error}") from error
    return made


def state_dict(source: Any) -> dict[str, Any]:
    """Where a pipeline stands, as a few JSON values; :func:`pipeline` takes it as ``state``.

    Args:
        source: a pipeline of :func:`pipeline`, or an iterator of DALI over one, which knows best what was taken.

    Raises:
        InputError: neither of them; an iterator over several pipelines.
    """
    # A pipeline of DALI has another `_pipes` than its iterators.
    pipes = [source] if hasattr(source, "gsdd_identity") else list(getattr(source, "_pipes", ()))
    identity = getattr(pipes[0], "gsdd_identity", None) if len(pipes) == 1 else None
    if identity is None:
        raise InputError("a state is of one pipeline that gsdd_runtime.loading.dali.pipeline made, or its iterator")
    checkpoint = source.checkpoint() if source is pipes[0] else source.checkpoints()[0]
    return {**identity, "dali": base64.b64encode(checkpoint).decode()}


def _check(
    distilled: DistilledSet, sides: tuple[int, int], batch_size: int, dtype: torch.dtype, normalize: bool, shift: int,
    num_threads: int, prefetch: int,
) -> None:  # fmt: skip
    if dtype not in _DTYPES:
        raise InputError(f"DALI has images of float32 or float16, not of {str(dtype).removeprefix('torch.')}")
    if normalize and distilled.preparation.zca is not None:
        raise InputError(
            "the set is whitened (zca), and DALI has no operator for that: take plain images (normalize=False), or a "
            "DistilledLoader"
        )
    if normalize:
        distilled.preparation.for_size(*sides)
    if not 0 <= shift < min(sides):
        raise InputError(f"shift must be 0 to less than the images' shorter side of {min(sides)}, got {shift}")
    if num_threads < 1 or prefetch < 1:
        raise InputError(f"num_threads and prefetch must be at least 1, got {num_threads} and {prefetch}")
    bytes_an_image = 4 * distilled.channels * sides[0] * sides[1] * (prefetch + 1)
    count = min(max(batch_size, 1), len(distilled))
    check_image_memory(count, bytes_an_image, torch.device("cpu"), "take smaller batches, or smaller images")
    distilled.check_drawing(None, *sides)


def _checkpoint(state: Mapping[str, Any] | None, identity: Mapping[str, Any]) -> bytes | None:
    """DALI's own part of a state that is of such a pipeline."""
    if state is None:
        return None
    for name, value in identity.items():
        if state.get(name) != value:
            raise InputError(
                f"the pipeline's state was saved with {name} {state.get(name)!r}, and this pipeline has {value!r}: "
                "make the pipeline as it was"
            )
    try:
        return base64.b64decode(state["dali"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise InputError("the pipeline's state is damaged: it holds nothing of DALI's") from error


def _read(fn: Any, distilled: DistilledSet, indices: Callable[[int, int], Tensor], sides: tuple[int, int]) -> Any:
    """The reader: rows of the set, or its images where they are pixels, ``[C, H, W]``; and labels, in main memory."""
    gaussians = distilled.representation == "gaussians"

    def batch(info: Any) -> tuple[Any, Any]:
        chosen = indices(info.epoch_idx, info.iteration)
        images = distilled.rows(chosen).float() if gaussians else distilled.decode(chosen, *sides)
        labels = distilled.labels[chosen]
        return images.numpy(), (labels.float() if labels.is_floating_point() else labels).numpy()

    layout = {} if gaussians else {"layout": ["CHW", ""]}
    return fn.external_source(batch, num_outputs=2, batch=True, batch_info=True, **layout)


def _draw(fn: Any, gaussians: Any, own: tuple[int, int], sides: tuple[int, int]) -> Any:
    return fn.gsdd.gaussian_splat(gaussians, height=sides[0], width=sides[1], native_height=own[0], native_width=own[1])


def _finish(
    dali: Any, distilled: DistilledSet, images: Any, sides: tuple[int, int], flip: bool, shift: int, normalize: bool,
    dtype: torch.dtype, channels_last: bool,
) -> Any:  # fmt: skip
    """Moves, flips, mean and deviation, dtype and layout, by DALI."""
    fn = dali.fn
    if shift:
        # The fill is a number a channel, and channels are then the last axis.
        images = fn.transpose(images, perm=[1, 2, 0], output_layout="HWC")
        mean = list(distilled.mean) if normalize and distilled.mean is not None else [0.0] * distilled.channels
        images = fn.slice(
            images,
            fn.random.uniform(values=[float(pixels) for pixels in range(-shift, shift + 1)], shape=[2]),
            [float(side) for side in sides],
            axis_names="HW",
            normalized_anchor=False,
            normalized_shape=False,
            out_of_bounds_policy="pad",
            fill_values=mean,
        )
    return fn.crop_mirror_normalize(
        images,
        dtype=getattr(dali.types, _DTYPES[dtype]),
        output_layout="HWC" if channels_last else "CHW",
        mirror=fn.random.coin_flip() if flip else 0,
        **({"mean": list(distilled.mean or ()), "std": list(distilled.std or ())} if normalize else {}),
    )
