"""What a run starts from: the first images, and what Gaussians are fitted to."""

from __future__ import annotations

from torch import Tensor

from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.options import ResolvedOptions
from gsdd_runtime.distillation.representations import Representation
from gsdd_runtime.distillation.starts import Source
from gsdd_runtime.distillation.targets import RealTargets, Targets


def first_images(
    options: ResolvedOptions, source: Source, division: Division | None
) -> tuple[Representation, Targets | None]:
    """The images that a run starts from, and what they are fitted to, in pixel units; None where nothing is fitted.

    Where they are divided over processes, those of this one.
    """
    first, targets = _made(options, source, None if division is None else division.held)
    first.renderer = options.renderer
    first.among = None if division is None else division.images
    return first, targets


def _made(options: ResolvedOptions, source: Source, kept: Tensor | None) -> tuple[Representation, Targets | None]:
    made, start = options.representation_type, options.start
    own, room, storage = options.representation_options, options.room, options.storage
    rows = start.rows(source)
    if rows is not None:
        taken = made.taken_from(room, storage, own, rows, options.device)
        if taken is not None:
            return taken, None
    if made.fitted and start.chooses:
        real = RealTargets(source.real, start.positions(source), source.device)
        return made.fresh(room, storage, own, real, options.seed, options.device, kept), real
    targets = start.images(source)
    fresh = made.fresh(room, storage, own, targets, options.seed, options.device, kept)
    return fresh, targets if made.fitted else None
