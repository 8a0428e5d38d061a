"""Distilling: from real images to a small set that trains a network almost as well."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.distillation.choosing import Choosing
from gsdd_runtime.distillation.fit import FitResult, fit_images
from gsdd_runtime.distillation.options import ResolvedOptions, all_options, resolve
from gsdd_runtime.distillation.planning import Plan
from gsdd_runtime.distillation.recipes import with_recipe
from gsdd_runtime.distillation.run import distill_with, plan_with
from gsdd_runtime.distillation.saving import Saving
from gsdd_runtime.distillation.stopping import Interrupted
from gsdd_runtime.distillation.telling import Telling, unsaid
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet

__all__ = ["FitResult", "Interrupted", "Plan", "distill", "fit_images", "plan"]


def distill(
    data: RealData,
    *,
    recipe: str | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_interval: int = Saving.checkpoint_interval,
    checkpoint_seconds: float = Saving.checkpoint_seconds,
    progress: Reporter = silent,
    say: Callable[[str], None] = unsaid,
    choosing: Choosing | None = None,
    picture_every: int | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    **options: Any,
) -> DistilledSet:
    """Distills ``data`` into a small set (GSDD, arXiv 2509.26219, sections 3 and 4).

    Gaussians are first fitted to random real images of their class, then moved until the set matches the real
    data. The result depends on the data, the options and the seed, on the device and its number of threads, and on
    nothing else: an interrupted and resumed run writes the same bytes.

    Args:
        data: the real images, of ``gsdd.load_dataset`` or ``gsdd.RealData.of``. No test part is needed.
        recipe: the name of one (``gsdd-rt recipes`` lists them), whose options are taken unless given here. What it
            says of the data is for the caller to heed.
        out: the file to write, by one run at a time. While the run lasts, ``out`` with ``.checkpoint`` added holds
            its state. ``out`` with ``.log.jsonl`` added tells how it went, and stays.
        resume: go on from the checkpoint, where there is one. A set that is already finished is loaded.
        overwrite: replace what ``out`` is before; refused otherwise.
        checkpoint_interval: steps between checkpoints.
        checkpoint_seconds: after which one is written in any case.
        progress: told after every step; the phases are ``"fit"`` and ``"match"``.
        say: told the plan, in a line, before the first step, and after a few how long it will take.
        choosing: how sets are judged on the way, such as ``gsdd_runtime.evaluation.light.light_choosing`` makes it; the
            best is written beside ``out`` (``SET.best.safetensors``).
        picture_every: matching steps between two pictures in the folder ``SET.safetensors.pictures``.
        tensorboard: the folder of TensorBoard's runs, which gets one for this set.
        options: the list below; None stands for the default. ``augment`` None is ``"none"``.

    Returns:
        The set, ``classes * gpc`` images, class after class, in pixel units [0, 1].

    Raises:
        InputError: an option, the data, the checkpoint or ``out`` cannot be used, or another run is writing it; the
            message names it. All but a full disk is told before the first step.
        GsddError: the loss is not finite.
        Interrupted: SIGINT or SIGTERM came, and the checkpoint was written. Only where ``out`` is given.
    """
    check_real_data(data)
    place = None if out is None else Path(out)
    saving = Saving(place, resume, overwrite, checkpoint_interval, checkpoint_seconds)
    board = None if tensorboard is None else Path(tensorboard)
    telling = Telling(progress, say, choosing, picture_every, board)
    return distill_with(_resolved(data, recipe, options, say), saving, telling)


def plan(data: RealData, *, recipe: str | None = None, **options: Any) -> Plan:
    """What :func:`distill` would do with the same data and options: images, bytes, steps, memory. Nothing is written.

    Raises:
        InputError: an option or the data cannot be used.
    """
    check_real_data(data)
    return plan_with(_resolved(data, recipe, options))


def _resolved(
    data: RealData, recipe: str | None, options: dict[str, Any], say: Callable[[str], None] = unsaid
) -> ResolvedOptions:
    if recipe is None:
        return resolve(options, data)
    chosen = with_recipe(recipe, options)
    say(chosen.told())
    return resolve(chosen.options, data, chosen.record())


def _show_options() -> None:
    """Gives ``distill`` the signature and the list of options that their declarations make."""
    signature = inspect.signature(distill)
    plain = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    lines = ["\n    Options:\n"]
    for name, declarations in all_options().items():
        one = declarations[0].option
        default = None if declarations[0].owners else one.default
        kind = f"{one.kind.__name__} | None" if default is None or name == "augment" else one.kind.__name__
        plain.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))
        for owned in declarations:
            whose = f" Of {' and '.join(owned.owners)}." if owned.owners else ""
            lines.append(f"        {name}: {owned.option.words} Default: {owned.option.default_text}.{whose}\n")
    distill.__signature__ = signature.replace(parameters=plain)  # type: ignore[attr-defined]
    distill.__doc__ = f"{distill.__doc__}{''.join(lines)}    "


_show_options()
