"""Distilling: from real images to a small set that trains a network almost as well."""

from __future__ import annotations

import os
from pathlib import Path

from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.distillation.engine import Interrupted
from gsdd_runtime.distillation.fit import FitResult, fit_images
from gsdd_runtime.distillation.options import DEFAULT_BOUNDARY_WEIGHT, DistillOptions
from gsdd_runtime.distillation.run import distill_with
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.compression import DEFAULT_PIXEL_BITS
from gsdd_runtime.sets.distilled_set import DistilledSet

__all__ = ["DistillOptions", "FitResult", "Interrupted", "distill", "fit_images"]


def distill(
    data: RealData,
    *,
    method: str = "dm",
    representation: str = "gaussians",
    ipc: int = 1,
    gpc: int | None = None,
    coding: str = "none",
    pixel_bits: int = DEFAULT_PIXEL_BITS,
    downscale: int = 1,
    rate_weight: float = 0.0,
    iterations: int | None = None,
    init: str = "real",
    network: str | None = None,
    batch_real: int = 256,
    batch_syn: int | None = None,
    learning_rate: float | None = None,
    schedule: str = "constant",
    fit_steps: int | None = None,
    fit_learning_rate: float | None = None,
    boundary_weight: float = DEFAULT_BOUNDARY_WEIGHT,
    augment: str | None = "dsa",
    classes_per_pass: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_interval: int = 100,
    progress: Reporter = silent,
) -> DistilledSet:
    """Distills ``data`` into a small set (GSDD, arXiv 2509.26219, sections 3 and 4).

    Gaussians are first fitted to random real images of their class, then moved until the set matches the real
    data. The result depends on the data, the options and the seed, on the device and its number of threads, and on
    nothing else: an interrupted and resumed run writes the same bytes.

    Args:
        data: the real images, of ``gsdd.load_dataset`` or ``gsdd.RealData.of``. No test part is needed.
        method: the objective: ``"dm"``, distribution matching.
        representation: ``"gaussians"``, or ``"pixels"``, the baseline they are compared with.
        ipc: the storage, as that of ``ipc`` float32 pixel images per class.
        gpc: images per class in that storage; ``storage.plan_storage`` tells the default.
        coding: ``"none"``, or ``"entropy"``: images are rounded and entropy-coded, drawn so from the first step, and
            steered so that the file takes at most the bytes of the storage.
        pixel_bits: of a coded pixel, 1 to 12.
        downscale: of pixels: they are stored smaller by this whole factor along each side and scaled up bilinearly, so
            that the storage holds its square times as many.
        rate_weight: of a penalty on the bits of a coded Gaussian, per bit.
        iterations: matching steps; 20000 for DM.
        init: ``"real"`` starts from random real images, ``"color"`` from the mean colour, ``"random"`` from
            scattered Gaussians, or from noise for pixels.
        network: that embeds the images; that of ``networks.default_network`` if left out.
        batch_real: real images per class and step; a class that has fewer gives all.
        batch_syn: distilled images per class and step; all if left out.
        learning_rate: of the matching, for Adam; 1e-3 for Gaussians, 1e-2 for pixels.
        schedule: of the matching's learning rate: ``"constant"``, or ``"cosine"`` down to 0.
        fit_steps: of the fitting; 1000. Gaussians start from images by fitting alone: 0 goes with ``init="random"``.
        fit_learning_rate: of the fitting, which falls to 0 as a cosine; 0.1.
        boundary_weight: of the penalty that keeps the centres of Gaussians off the edge.
        augment: ``"dsa"``; ``"none"`` or None for none.
        classes_per_pass: classes that are embedded at once; lower it to save memory.
        seed: fixes the result.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        out: the file to write, by one run at a time. While the run lasts, ``out`` with ``.checkpoint`` added holds
            its state.
        resume: go on from the checkpoint, where there is one. A set that is already finished is loaded.
        overwrite: replace what ``out`` is before; refused otherwise.
        checkpoint_interval: steps between checkpoints.
        progress: told after every step; the phases are ``"fit"`` and ``"match"``.

    Returns:
        The set, ``classes * gpc`` images, class after class, in pixel units [0, 1].

    Raises:
        InputError: an option, the data, the checkpoint or ``out`` cannot be used, or another run is writing it; the
            message names it. All but a full disk is told before the first step.
        GsddError: the loss is not finite.
        Interrupted: SIGINT or SIGTERM came, and the checkpoint was written. Only where ``out`` is given.
    """
    check_real_data(data)
    options = DistillOptions(
        method=method,
        representation=representation,
        ipc=ipc,
        gpc=gpc,
        coding=coding,
        pixel_bits=pixel_bits,
        downscale=downscale,
        rate_weight=rate_weight,
        iterations=iterations,
        init=init,
        network=network,
        batch_real=batch_real,
        batch_syn=batch_syn,
        learning_rate=learning_rate,
        schedule=schedule,
        fit_steps=fit_steps,
        fit_learning_rate=fit_learning_rate,
        boundary_weight=boundary_weight,
        augment=augment,
        classes_per_pass=classes_per_pass,
        seed=seed,
        device=device,
    )
    place = None if out is None else Path(out)
    return distill_with(
        data,
        options,
        out=place,
        resume=resume,
        overwrite=overwrite,
        checkpoint_interval=checkpoint_interval,
        progress=progress,
    )
