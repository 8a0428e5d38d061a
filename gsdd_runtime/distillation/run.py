"""One run of distilling from start to file: initial images, the two phases, resuming, writing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from gsdd_runtime.atomic import check_room, remove_partial_files, sole_writer
from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.distillation.checkpoint import Checkpoint, check_same_run, checkpoint_path
from gsdd_runtime.distillation.engine import CheckpointWriter, StopRequest, run_phase, stop_on_signal
from gsdd_runtime.distillation.fit import fit_phase
from gsdd_runtime.distillation.matching import Matching
from gsdd_runtime.distillation.objectives import OBJECTIVES
from gsdd_runtime.distillation.options import DistillOptions, ResolvedOptions, resolve
from gsdd_runtime.distillation.representations import GaussianRepresentation, PixelRepresentation, Representation
from gsdd_runtime.distillation.representations.coded import CodedGaussianRepresentation, CodedPixelRepresentation
from gsdd_runtime.distillation.storage import HEADER_BYTES, coded_budget
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Reporter
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.sets.decoding import scaled
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.gaussians import initial_gaussians
from gsdd_runtime.versions import VERSION

# Of the noise that pixels start from with init="random", in pixel units.
PIXEL_NOISE = 0.25


def distill_with(
    data: RealData,
    options: DistillOptions,
    *,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    checkpoint_interval: int,
    progress: Reporter,
) -> DistilledSet:
    """``distill`` with its options in one piece; see there."""
    if checkpoint_interval < 1:
        raise InputError(f"checkpoint_interval must be at least 1, got {checkpoint_interval}")
    if resume and out is None:
        raise InputError("resume needs out: the checkpoint stands beside that file")
    resolved = resolve(options, data)
    if out is None:
        # Without a file there is no checkpoint, and a signal means what it always means.
        with _repeatable(resolved.device):
            return _described(data, resolved, _optimise(data, resolved, None, None, None, progress).to_set)
    with sole_writer(out):
        checkpoint = checkpoint_path(out)
        remove_partial_files(checkpoint)
        start = _earlier_checkpoint(checkpoint, resolved, data, resume)
        finished = _earlier_set(out, resolved, data, resume, overwrite, unfinished=start is not None)
        if finished is not None:
            return finished
        writer = CheckpointWriter(checkpoint, resolved.as_dict(), data.fingerprint, checkpoint_interval)
        with stop_on_signal() as stop, _repeatable(resolved.device):
            distilled = _described(data, resolved, _optimise(data, resolved, start, writer, stop, progress).to_set)
            distilled.save(out)
            checkpoint.unlink(missing_ok=True)
    return distilled


def _optimise(
    data: RealData,
    options: ResolvedOptions,
    start: Checkpoint | None,
    writer: CheckpointWriter | None,
    stop: StopRequest | None,
    progress: Reporter,
) -> Representation:
    device = torch.device(options.device)
    real = RealImages(data, options.seed, device)
    objective = OBJECTIVES[options.method](
        options.network, data.channels, data.classes, (data.height, data.width),
        augment=options.augment, seed=options.seed, device=device,
    )  # fmt: skip
    targets = _targets(data, real, options)
    representation = _initial(data, targets, options)
    # What cannot be kept is refused now and not after the last step.
    _described(data, options, representation.plain_set).check_saving()
    if writer is not None:
        _check_room(writer.path, representation, resumed=start is not None)
    matching = Matching(data, real, representation, objective, options)
    phases = [matching.phase()]
    if options.fit_steps > 0 and targets is not None:
        phases.insert(0, fit_phase(representation, targets, options.fit_steps, options.fit_learning_rate))
    names = [phase.name for phase in phases]
    if start is not None:
        if start.phase not in names:
            raise InputError(
                f"the checkpoint is in phase {start.phase!r}, which this run lacks: remove it to start anew"
            )
        phases = phases[names.index(start.phase) :]
    for phase in phases:
        state = start if start is not None and start.phase == phase.name else None
        run_phase(phase, representation, start=state, writer=writer, stop=stop, progress=progress)
    return representation


def _check_room(checkpoint: Path, representation: Representation, *, resumed: bool) -> None:
    """A checkpoint holds the masters and two moments of each; while one is written, the one before it stays."""
    masters = sum(part.numel() * part.element_size() for part in representation.parameters().values())
    check_room(checkpoint, (1 if resumed else 2) * 3 * masters + representation.nbytes)


def _targets(data: RealData, real: RealImages, options: ResolvedOptions) -> Tensor | None:
    """The images to start from, in pixel units, or None for a random start."""
    if options.init == "random":
        return None
    if options.init == "real":
        return real.initial(options.gpc)
    color = torch.tensor(data.mean, device=options.device).view(1, -1, 1, 1)
    return color.expand(data.classes * options.gpc, -1, data.height, data.width).contiguous()


def _initial(data: RealData, targets: Tensor | None, options: ResolvedOptions) -> Representation:
    images = data.classes * options.gpc
    generator = derived_generator(options.seed, "init", "values")
    if options.representation == "gaussians":
        start = initial_gaussians(
            images, options.gaussians_per_image, data.channels, data.height, data.width, generator
        )
        start = start.to(options.device)
        if options.coding == "entropy":
            return CodedGaussianRepresentation(
                start, data.height, data.width,
                budget=coded_budget(data, options.ipc) - HEADER_BYTES,
                boundary_weight=options.boundary_weight, rate_weight=options.rate_weight,
            )  # fmt: skip
        return GaussianRepresentation(start, data.height, data.width, boundary_weight=options.boundary_weight)
    size = (data.height // options.downscale, data.width // options.downscale)
    if targets is None:
        noise = torch.randn(images, data.channels, *size, generator=generator)
        targets = torch.tensor(data.mean).view(1, -1, 1, 1) + PIXEL_NOISE * noise
    pixels = scaled(targets.to(options.device), size)
    if options.coding == "entropy":
        return CodedPixelRepresentation(pixels, bits=options.pixel_bits, downscale=options.downscale)
    return PixelRepresentation(pixels, downscale=options.downscale)


def _described(data: RealData, options: ResolvedOptions, to_set: Callable[..., DistilledSet]) -> DistilledSet:
    return to_set(
        torch.arange(data.classes).repeat_interleave(options.gpc),
        class_names=data.class_names,
        mean=data.mean,
        std=data.std,
        zca=data.zca,
        ipc=options.ipc,
        gpc=options.gpc,
        method=options.method,
        options=options.as_dict(),
        seed=options.seed,
        fingerprint=data.fingerprint,
        versions={"gsdd-rt": VERSION, "torch": torch.__version__},
    )


def _earlier_checkpoint(path: Path, options: ResolvedOptions, data: RealData, resume: bool) -> Checkpoint | None:
    if not path.exists():
        return None
    if not resume:
        raise InputError(f"{path} holds an unfinished run: add --resume to go on with it, or remove it to start anew")
    checkpoint = Checkpoint.load(path)
    check_same_run(path, checkpoint.options, checkpoint.fingerprint, options.as_dict(), data.fingerprint)
    return checkpoint


def _earlier_set(
    out: Path, options: ResolvedOptions, data: RealData, resume: bool, overwrite: bool, *, unfinished: bool
) -> DistilledSet | None:
    """The set of this run where it had ended before it was to be resumed; None where ``out`` may be written."""
    if not out.exists():
        return None
    taken = InputError(f"{out} exists: add --overwrite to replace it, or choose another place")
    if not resume:
        if overwrite:
            return None
        raise taken
    try:
        finished = DistilledSet.load(out)
        check_same_run(out, finished.options or {}, finished.fingerprint or "", options.as_dict(), data.fingerprint)
    except InputError as error:
        if overwrite:
            return None
        raise taken if unfinished else error from error
    # With a checkpoint beside it, the run was killed between writing the one and removing the other.
    return None if unfinished else finished


def _repeatable(device: str) -> AbstractContextManager[None]:
    """Convolutions on CUDA that give the same bits every run; on the CPU they do so anyway."""
    if torch.device(device).type == "cpu":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
