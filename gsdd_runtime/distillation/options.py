"""The options of a run: their defaults, their ranges, what they resolve to for given data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from gsdd_runtime import networks
from gsdd_runtime.datasets import RealData
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.distillation.objectives import OBJECTIVES
from gsdd_runtime.distillation.representations import REPRESENTATIONS
from gsdd_runtime.distillation.storage import CODINGS, plan_storage
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.compression import DEFAULT_PIXEL_BITS
from gsdd_runtime.training.augmentation import chosen_augmentation
from gsdd_runtime.wording import counted

INITS = ("real", "color", "random")
SCHEDULES = ("constant", "cosine")

DEFAULT_ITERATIONS = {"dm": 20000}
DEFAULT_LEARNING_RATE = {"gaussians": 1e-3, "pixels": 1e-2}
DEFAULT_FIT_STEPS = 1000
DEFAULT_FIT_LEARNING_RATE = 1e-1
DEFAULT_BOUNDARY_WEIGHT = 0.1

# What one pass embeds at most. On the CPU 128 images of 32 x 32 stay in the caches, and embed twice as fast as
# 640; on CUDA 1024 keep the device busy and take about 1.3 GB with 128 filters.
PASS_PIXELS = {"cpu": 128 * 32 * 32, "cuda": 1024 * 32 * 32}


@dataclass(frozen=True)
class DistillOptions:
    """What decides the result of ``distill`` besides the data; ``distill`` tells what each means.

    None stands for a default that depends on the data or on other options; ``resolve`` fills it in.
    """

    method: str = "dm"
    representation: str = "gaussians"
    ipc: int = 1
    gpc: int | None = None
    coding: str = "none"
    pixel_bits: int = DEFAULT_PIXEL_BITS
    downscale: int = 1
    rate_weight: float = 0.0
    iterations: int | None = None
    init: str = "real"
    network: str | None = None
    batch_real: int = 256
    batch_syn: int | None = None
    learning_rate: float | None = None
    schedule: str = "constant"
    fit_steps: int | None = None
    fit_learning_rate: float | None = None
    boundary_weight: float = DEFAULT_BOUNDARY_WEIGHT
    augment: str | None = "dsa"
    classes_per_pass: int | None = None
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class ResolvedOptions:
    """The same with nothing left open. ``gaussians_per_image`` is 0 for pixels."""

    method: str
    representation: str
    ipc: int
    gpc: int
    gaussians_per_image: int
    coding: str
    pixel_bits: int
    downscale: int
    rate_weight: float
    iterations: int
    init: str
    network: str
    batch_real: int
    batch_syn: int
    learning_rate: float
    schedule: str
    fit_steps: int
    fit_learning_rate: float
    boundary_weight: float
    augment: str
    classes_per_pass: int
    seed: int
    device: str

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON values; of the device its kind alone, as every one of a kind does for the same run."""
        return asdict(self) | {"device": torch.device(self.device).type}


def resolve(options: DistillOptions, data: RealData) -> ResolvedOptions:
    """Fills in every default and checks every value against ``data``.

    Raises:
        InputError: an unknown name, a number out of range, a budget that does not hold the images, a class
            with too few real images.
    """
    _check_names(options)
    _check_numbers(options)
    sizes = torch.bincount(data.train_labels, minlength=data.classes).tolist()
    pixels = options.representation == "pixels"
    storage = plan_storage(
        data,
        representation=options.representation,
        coding=options.coding,
        pixel_bits=options.pixel_bits,
        downscale=options.downscale,
        ipc=options.ipc,
        gpc=options.gpc,
        most=min(sizes) if options.init == "real" else None,
    )
    gpc = storage.gpc
    _check_classes(data, sizes, gpc, options.init)
    fits = not pixels and options.init != "random"
    batch_syn = gpc if options.batch_syn is None else options.batch_syn
    if batch_syn > gpc:
        raise InputError(f"batch_syn is {batch_syn}, more than the {counted(gpc, 'image')} of a class: lower it")
    known: dict[str, Any] = asdict(options) | {
        "gpc": gpc,
        "gaussians_per_image": storage.gaussians_per_image,
        "batch_syn": batch_syn,
        "augment": chosen_augmentation(options.augment) or "none",
        "fit_steps": (DEFAULT_FIT_STEPS if options.fit_steps is None else options.fit_steps) if fits else 0,
        "device": str(resolve_device(options.device)),
    }
    defaults: dict[str, Any] = {
        "iterations": DEFAULT_ITERATIONS[options.method],
        "network": networks.chosen(options.network, (data.height, data.width)),
        "learning_rate": DEFAULT_LEARNING_RATE[options.representation],
        "fit_learning_rate": DEFAULT_FIT_LEARNING_RATE,
        "classes_per_pass": default_classes_per_pass(data, options.batch_real + batch_syn, known["device"]),
    }
    return ResolvedOptions(**{name: defaults[name] if value is None else value for name, value in known.items()})


def default_classes_per_pass(data: RealData, images_per_class: int, device: str) -> int:
    """As many classes as keep a pass within ``PASS_PIXELS``, at least one."""
    pixels = images_per_class * data.height * data.width
    return max(1, min(data.classes, PASS_PIXELS[torch.device(device).type] // pixels))


def check_whole_number(option: str, value: object, least: int) -> None:
    """Raises InputError unless ``value`` is a whole number of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{option} must be a whole number of at least {least}, got {value!r}")


def check_number(option: str, value: object, *, zero: bool = False) -> None:
    """Raises InputError unless ``value`` is a finite number above 0, or 0 where ``zero``."""
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise InputError(f"{option} must be {'0 or ' if zero else ''}a number above 0, got {value!r}")


def _check_names(options: DistillOptions) -> None:
    for option, value, known in (
        ("method", options.method, OBJECTIVES),
        ("representation", options.representation, REPRESENTATIONS),
        ("init", options.init, INITS),
        ("schedule", options.schedule, SCHEDULES),
        ("coding", options.coding, CODINGS),
    ):
        if not isinstance(value, str) or value not in known:
            raise InputError(f"{option} {value!r} is not known: choose one of {', '.join(known)}")
    chosen_augmentation(options.augment)
    if options.rate_weight and (options.coding, options.representation) != ("entropy", "gaussians"):
        raise InputError("rate_weight is for coded Gaussians: choose coding entropy, or leave it out")
    if options.downscale != 1 and options.representation != "pixels":
        raise InputError("downscale is for pixels: choose representation pixels, or leave it out")
    if options.representation == "pixels" and options.init == "color":
        raise InputError("pixels that start from one colour would all stay equal: choose init real or random")
    if options.representation == "gaussians" and options.init != "random" and options.fit_steps == 0:
        raise InputError(
            f"with fit_steps 0 Gaussians would not start from init {options.init!r} but at random: "
            "give fit_steps of at least 1, or choose init random"
        )


def _check_numbers(options: DistillOptions) -> None:
    for option, value, least in (
        ("ipc", options.ipc, 1),
        ("gpc", options.gpc, 1),
        ("pixel_bits", options.pixel_bits, 1),
        ("downscale", options.downscale, 1),
        ("iterations", options.iterations, 1),
        ("batch_real", options.batch_real, 1),
        ("batch_syn", options.batch_syn, 1),
        ("fit_steps", options.fit_steps, 0),
        ("classes_per_pass", options.classes_per_pass, 1),
        ("seed", options.seed, 0),
    ):
        if value is not None:
            check_whole_number(option, value, least)
    for option, number, zero in (
        ("learning_rate", options.learning_rate, False),
        ("fit_learning_rate", options.fit_learning_rate, False),
        ("boundary_weight", options.boundary_weight, True),
        ("rate_weight", options.rate_weight, True),
    ):
        if number is not None:
            check_number(option, number, zero=zero)


def _check_classes(data: RealData, sizes: list[int], gpc: int, init: str) -> None:
    for name, size in zip(data.class_names, sizes, strict=True):
        if size == 0:
            raise InputError(f"class {name!r} of {data.name} has no training image: leave the class out")
        if init == "real" and size < gpc:
            raise InputError(
                f"class {name!r} of {data.name} has {counted(size, 'training image')}, fewer than the {gpc} that its "
                "distilled images start from: lower gpc, or choose init color or random"
            )
